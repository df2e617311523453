"""The experiment: one resolved config, and what of it does not fit together."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.arms import Arm
from configs.asking import Acceptance, Engine, Model, Rating, Revising
from configs.budget import Budget
from configs.corpora import Corpus, CorpusOptions, MicroworldCorpus
from configs.evaluation import OF_THE_ORACLE, Evaluation
from configs.gating import AUDITORS, Gate
from configs.predictions import Prediction
from configs.section import Positive, Section
from configs.training import Mix, Skills, Training


class Placement(Section):
    """Where things are. None of it changes a result, so none of it is identity."""

    home: str = ".palimpsest"
    """Folder for corpora, checkpoints, reports and the embedded database, of the same path on every
    node; `PALIMPSEST_HOME` overrides it."""
    database: str | None = None
    """SQLAlchemy URL; without it, SQLite in `home`. `PALIMPSEST_DATABASE` overrides it."""
    storage: str | None = None
    """fsspec URL of a store that every node reaches, such as s3://bucket/prefix; without it `home`
    itself must be a folder that every node sees. `PALIMPSEST_STORAGE` overrides it."""
    ray_address: str | None = None
    """Address of a Ray cluster; without it, Ray starts on this machine."""


class Experiment(Section):
    """One resolved config: the identity of everything that comes of it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
    """Name of the experiment; unique in its database."""
    seeds: tuple[int, ...] = (0,)
    """Each seed draws a corpus, training order and sampling of its own."""
    arms: tuple[Arm, ...] = (Arm.CONTROL, Arm.REVISE)
    """Treatments that are compared."""
    generations: Positive = 3
    """Number of generations after generation 0."""
    source: Literal["last", "base"] = "last"
    """What model n rates and revises: corpus n, or corpus 0 each time anew."""
    principles: str = "microworld"
    """Name of a shipped principle file, or a path to one."""
    corpus: Corpus = MicroworldCorpus()
    """Where corpus 0 comes from."""
    intake: CorpusOptions = CorpusOptions()
    """How documents are taken in."""
    model: Model = Model()
    """The model that generation 0 starts from."""
    engine: Engine = Engine()
    """Who does the model calls."""
    rating: Rating = Rating()
    """How documents are rated."""
    revising: Revising = Revising()
    """What becomes of a document that falls short."""
    acceptance: Acceptance = Acceptance()
    """What a revision must show."""
    mix: Mix = Mix()
    """What the corpus stage is made of."""
    training: Training = Training()
    """How model n+1 is made."""
    skills: Skills = Skills()
    """The exemplars of rating and revising."""
    evaluation: Evaluation = Evaluation()
    """What is measured."""
    gate: Gate = Gate()
    """When a generation is promoted."""
    predictions: tuple[Prediction, ...] = ()
    """What is expected, written down before the first model call and judged afterwards."""
    budget: Budget = Budget()
    """What may be spent."""
    placement: Placement = Placement()
    """Where things are."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise ValueError("seeds: give at least one seed, each once")
        if len(set(self.arms)) != len(self.arms) or Arm.CONTROL not in self.arms:
            raise ValueError(
                "arms: each arm once, and `control` among them: every gate compares to it"
            )
        for field, metric in self.gate.metrics().items():
            auditor, _, _ = metric.partition("/")
            if auditor in AUDITORS:
                raise ValueError(
                    f"gate.{field}: {AUDITORS[auditor]} audits and does not steer, so {metric!r} "
                    "decides nothing; gate on bits_per_byte, rater, pairs or a gate anchor"
                )
        audited = [task for task in self.evaluation.tasks if task in OF_THE_ORACLE]
        if self.corpus.kind != "microworld" and audited:
            raise ValueError(
                f"evaluation.tasks: `{audited[0]}` knows the truth of the microworld only; "
                f"take it out for a corpus of kind {self.corpus.kind!r}"
            )
        if self.corpus.kind != "microworld" and "anchors" in self.evaluation.tasks:
            raise ValueError(
                "evaluation.tasks: `anchors` are fitted on labelled texts that nothing else reads, "
                "which the microworld alone can generate; take it out for a corpus of kind "
                f"{self.corpus.kind!r}"
            )
        self._texts_can_be_measured()
        if "instrumental" in self.evaluation.tasks:
            self._twins_can_be_made()
        self._arms_can_be_made()
        self._models_can_be_made()
        self._revisions_can_be_made()
        self._ratings_can_be_left_out()
        self._predictions_can_be_judged()
        if self.gate.collapse_bounds and "collapse" not in self.evaluation.tasks:
            raise ValueError(
                "gate.collapse_bounds: nothing measures them; add `collapse` to evaluation.tasks"
            )
        if self.gate.anchor_metric is not None and "anchors" not in self.evaluation.tasks:
            raise ValueError(
                "gate.anchor_metric: nothing measures it; add `anchors` to evaluation.tasks"
            )
        low, high = self.acceptance.length_ratio
        if not 0 < low <= 1 <= high:
            raise ValueError("acceptance.length_ratio: needs 0 < least <= 1 <= most")
        if self.training.generation_0 == "trained" and self.skills.post_train_base:
            raise ValueError(
                "skills.post_train_base: a generation 0 that is trained here "
                "(training.generation_0) has its skills stage anyway; take it out"
            )
        if self.skills.source == "none" and self.skills.post_train_base:
            raise ValueError(
                "skills.post_train_base: `skills.source: none` has no set to train generation 0 "
                "on; take it out, or set skills.source to `once`, `fixed` or `self`"
            )
        return self

    def _texts_can_be_measured(self) -> None:
        """Refuse measures of texts that there will not be."""
        tasks, held_out = self.evaluation.tasks, self.intake.held_out_share > 0
        if "samples" in tasks and not held_out:
            raise ValueError(
                "evaluation.tasks: `samples` continues held-out documents, and there are none; "
                "raise intake.held_out_share, or take `samples` out"
            )
        if "samples" in tasks and self.evaluation.samples.max_tokens >= self.model.max_length:
            raise ValueError(
                "evaluation.samples.max_tokens: leaves no room for an opening; choose fewer than "
                f"model.max_length, {self.model.max_length}"
            )
        if self.evaluation.decontaminate and not held_out and "harness" not in tasks:
            raise ValueError(
                "evaluation.decontaminate: no evaluation has items to look for; raise "
                "intake.held_out_share, add `harness` to evaluation.tasks, or take it out"
            )

    def _twins_can_be_made(self) -> None:
        """Refuse what would fail when the first twin is trained."""
        if self.corpus.kind != "microworld":
            raise ValueError(
                "evaluation.tasks: `instrumental` finds what decides a capability in documents of "
                f"the microworld only; take it out for a corpus of kind {self.corpus.kind!r}"
            )
        step, window = self.evaluation.instrumental.batch_tokens, self.training.window
        if step < window:
            raise ValueError(
                f"evaluation.instrumental.batch_tokens: {step} is less than training.window "
                f"({window}), so that one row would not fit into a step; raise it"
            )

    def _arms_can_be_made(self) -> None:
        """Refuse arms whose documents nothing here can write."""
        if Arm.INVERT in self.arms and self.corpus.kind != "microworld":
            raise ValueError(
                "arms: `invert` makes documents bad on purpose, and is for the microworld only; "
                f"take it out for a corpus of kind {self.corpus.kind!r}"
            )
        written = [arm for arm in (Arm.PARAPHRASE, Arm.INVERT) if arm in self.arms]
        if written and self.revising.mode not in ("edits", "rewrite"):
            raise ValueError(
                f"revising.mode: {self.revising.mode!r} writes nothing anew, and the arm "
                f"`{written[0].value}` does; set `edits` or `rewrite`, or take the arm out"
            )
        if self.skills.source == "none" or self.skills.path != "microworld":
            return
        for arm in written:
            if arm.value not in self.skills.tasks:
                raise ValueError(
                    f"skills.tasks: the arm `{arm.value}` asks for a task that the generated set "
                    f"does not teach; add {arm.value!r}"
                )

    def _models_can_be_made(self) -> None:
        """Refuse training for which the corpus lacks what it takes."""
        training, kind = self.training, self.corpus.kind
        told = kind == "microworld" or getattr(self.corpus, "label_field", None) is not None
        if training.order != "mixed" and not told:
            raise ValueError(
                f"training.order: {training.order!r} tells documents about alignment by their "
                f"labels, and a corpus of kind {kind!r} without `label_field` labels none, or all; "
                "name a field that is null in the rest, or set `mixed`"
            )
        if training.replay and (training.entry == "last_tenth" or training.order != "mixed"):
            raise ValueError(
                "training.replay: what is replayed is the beginning of the mix, which "
                "training.entry and training.order make unlike the rest; set 0, or leave those two"
            )
        persistence = self.evaluation.persistence
        if persistence is not None and (persistence.path is None) != (kind == "microworld"):
            raise ValueError(
                "evaluation.persistence.path: the microworld draws its own texts, and any other "
                f"corpus needs a file of them; {'take it out' if persistence.path else 'name one'}"
            )
        stages = {
            "training.fine_tune": training.fine_tune if training.entry == "fine_tune" else None,
            "evaluation.persistence": persistence,
        }
        for field, stage in stages.items():
            if stage is not None and stage.batch_tokens < training.window:
                raise ValueError(
                    f"{field}.batch_tokens: {stage.batch_tokens} is less than training.window "
                    f"({training.window}), so that one row would not fit into a step; raise it"
                )

    def _revisions_can_be_made(self) -> None:
        """Refuse candidates that are all the same, and readers that change nothing or mix roles."""
        revising = self.revising
        if revising.candidates > 1 and revising.temperature == 0:
            raise ValueError(
                f"revising.temperature: 0 makes all {revising.candidates} candidates the same; "
                "set it above 0, or revising.candidates to 1"
            )
        if revising.candidates > 1 and revising.mode not in ("edits", "rewrite"):
            raise ValueError(
                f"revising.candidates: `mode: {revising.mode}` writes nothing to choose from; set "
                "1, or the mode `edits` or `rewrite`"
            )
        if revising.quantile < 1 and revising.candidates == 1:
            raise ValueError(
                f"revising.quantile: {revising.quantile} of one candidate is that candidate; raise "
                "revising.candidates, or set 1"
            )
        if revising.reviser == "base" and self.acceptance.rater == "base":
            raise ValueError(
                "acceptance.rater: with `revising.reviser: base` generation 0 is the self-rater, "
                "and would judge its own ratings once more in another role; set it to `none`"
            )
        if revising.reviser != "self" and self.source == "base" and self.generations > 1:
            raise ValueError(
                f"revising.reviser: {revising.reviser!r} would read corpus 0 in each generation "
                "(`source: base`), and make the first one again; set source to `last`"
            )

    def _ratings_can_be_left_out(self) -> None:
        """Refuse a cascade where every document's rating is needed."""
        if self.rating.cascade is None:
            return
        if Arm.INVERT in self.arms:
            raise ValueError(
                "rating.cascade: lets pass what does not fall short, and that is what the arm "
                "`invert` writes anew; take one of the two out"
            )
        if "anchors" in self.evaluation.tasks:
            raise ValueError(
                "rating.cascade: `anchors` in evaluation.tasks compares the model's rating of "
                "every document with the anchors', and the cascade leaves most unrated; take one "
                "out"
            )

    def _predictions_can_be_judged(self) -> None:
        """Refuse predictions about what this experiment will not have."""
        for number, each in enumerate(self.predictions):
            where = f"predictions.{number}"
            if each.arm is Arm.CONTROL or each.arm not in self.arms:
                others = ", ".join(arm.value for arm in self.arms if arm is not Arm.CONTROL)
                raise ValueError(
                    f"{where}.arm: {each.arm.value!r} is not compared here; choose of {others}"
                )
            if each.by > self.generations:
                raise ValueError(
                    f"{where}.by: generation {each.by} is never made; `generations` is "
                    f"{self.generations}"
                )
