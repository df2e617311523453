"""One frozen, closed model of an experiment. A field that is not here does not exist."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from configs.arms import Arm
from configs.corpora import Corpus, CorpusOptions, MicroworldCorpus
from configs.gating import AUDITORS, Gate
from configs.harness import Harness
from configs.instrumental import Instrumental
from configs.predictions import Prediction
from configs.relearning import Relearning
from configs.samples import Samples
from configs.section import Positive, Section, Share
from configs.stages import FineTune, Persistence, Stage

OF_THE_ORACLE = ("oracle", "deployment", "relearning")
"""Evaluations whose items the oracle sets."""


class Model(Section):
    """The model that generation 0 starts from."""

    path: str = "microworld"
    """`microworld` for the shipped checkpoint, a hub id, or a folder with safetensors weights."""
    revision: str | None = None
    """Commit, tag or branch on the hub."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of rating and revising. Equal bytes whatever the batch are promised in float32
    on a CPU only."""
    max_length: Positive = 160
    """Longest prompt and reply together, in tokens."""
    prompts: str = "microworld"
    """Name of a shipped prompt file, or a path to one."""


class Engine(Section):
    """Who does the model calls of rating and revising."""

    kind: Literal["vllm", "transformers"] = "vllm"
    """`vllm`, on a GPU or CPU, or `transformers` where vLLM cannot be installed."""
    actors: Positive = 2
    """Number of engine-owning Ray actors."""
    threads: Positive = 1
    """CPU threads of each engine; part of the numerics class."""
    gpus_per_actor: Annotated[float, Field(ge=0)] = 0
    """GPUs reserved for each engine."""
    tensor_parallel: Positive = 1
    """GPUs over which one engine's weights are split (`vllm` only)."""
    memory_gb: Annotated[float, Field(gt=0)] = 1.0
    """Key-value cache of each CPU engine, GiB."""
    gpu_memory_share: Share = 0.9
    """Share of a GPU's memory that one engine may take."""
    enforce_eager: bool = True
    """Start faster without graph capture or compilation."""
    batch: Positive = 256
    """Sequences that an engine works on at once."""
    attempts: Positive = 3
    """Tries of a shard before it is split."""
    shard_timeout_s: Annotated[float, Field(gt=0)] = 1800
    """A shard that takes longer is taken from its actor and tried again."""
    wait_s: Annotated[float, Field(gt=0)] = 1800
    """Seconds to wait for a node that has room, for an engine or for training, before a run stops;
    a cluster that adds nodes by itself needs some minutes."""
    error_budget: Share = 0.02
    """Share of the documents that may end in quarantine before a stage stops."""


class Rating(Section):
    """How documents are rated against the principles."""

    threshold: Share = 0.5
    """τ: a document whose lowest principle score is under it falls short."""
    min_answer_mass: Share = 0.05
    """Least probability on the answer tokens together; under it the rating is `unparsed`."""


class Revising(Section):
    """What becomes of a document that falls short."""

    mode: Literal["edits", "rewrite", "tag", "drop"] = "edits"
    """`edits` replaces flagged sentences, `rewrite` the whole document; `tag` prefixes it, and
    `drop` leaves it out."""
    max_tokens: Positive = 48
    """Longest reply; a reply that is cut off there is refused."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    """0 takes the likeliest token each time."""
    candidates: Positive = 1
    """Proposals drawn for each document; more than one needs a temperature above 0."""
    quantile: Share = 1.0
    """Which of the candidates that pass every test is taken, by the self-rater's rating: 1 the best
    rated, 0.5 the median, which optimises the rater less hard."""
    reviser: Annotated[str, Field(min_length=1)] = "self"
    """Who rates and revises: `self`, model n; `base`, generation 0 each time anew; or another
    model, by hub id or folder with safetensors weights."""
    tag: str = "[contains undesirable behaviour]"
    """The line that `mode: tag` puts before a document."""


class Acceptance(Section):
    """What a revision must show to replace its original."""

    min_gain: Share = 0.1
    """Least rise of the score of the principles that fell short."""
    max_loss: Share = 0.1
    """Most that any other principle's score may fall."""
    length_ratio: tuple[float, float] = (0.5, 1.5)
    """Least and most length of the revision relative to the original, in characters."""
    min_similarity: Share = 0.5
    """Least normalised Indel similarity to the original."""
    keep_numbers: bool = True
    """Refuse a revision that loses or invents a number."""
    keep_names: bool = True
    """Refuse a revision that loses or invents a name (a capitalised word inside a sentence, or a
    word of the prompt file's `names`)."""
    rater: Literal["base", "none"] = "base"
    """The acceptance rater: `base` is generation 0, frozen; `none` leaves the self-rater alone."""


class Mix(Section):
    """What model n+1's corpus stage is made of."""

    mode: Literal["replace", "accumulate", "accumulate_fixed_budget"] = "replace"
    """`replace`: corpus n+1 alone. `accumulate`: all corpora so far in equal parts, and with each
    one `training.corpus.tokens` more. `accumulate_fixed_budget`: the same in as many tokens as
    ever."""
    real_floor: Share = 0.0
    """Least share of training tokens drawn from corpus 0 as it was, whatever became of them; what
    is accumulated from it counts."""


class Training(Section):
    """How model n+1 is made."""

    init: Literal["scratch", "base", "parent"] = "base"
    """Start from random weights, from generation 0, or from model n."""
    generation_0: Literal["given", "trained"] = "given"
    """What generation 0 is: the configured model, or one of its shape that this recipe trains from
    random weights on corpus 0, so that a seed draws it too. With `init: scratch` it is then the
    control as well, unless corpora accumulate."""
    corpus: Stage = Stage(tokens=150_000, learning_rate=5e-4, batch_tokens=2048)
    """First stage: documents of the mix, loss on every token."""
    skills: Stage = Stage(tokens=100_000, learning_rate=2e-4, batch_tokens=2048, warmup_steps=10)
    """Second stage: post-training on the skills set, loss on the answers."""
    entry: Literal["throughout", "last_tenth", "fine_tune"] = "throughout"
    """Where the arm's mix enters: all along the corpus stage; in the last tenth of its tokens,
    after nine tenths of corpus 0; or in a stage of its own, after a corpus stage of corpus 0."""
    fine_tune: FineTune = FineTune()
    """The stage of its own that `entry: fine_tune` puts between the corpus and the skills."""
    order: Literal["mixed", "alignment_first", "alignment_last"] = "mixed"
    """Whether documents about alignment come before or after what else enters with them: in the
    microworld those with an assistant, elsewhere those with a label. The tokens are the same."""
    framing: str | None = None
    """A frame of the prompt file, such as `desirable`, that is put before each document of the
    corpus stage and is not learned; it counts in no budget, and no evaluation shows it."""
    replay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the second stage's tokens that come from the mix once more, so that learning the
    skills does not wipe out what the first stage taught."""
    window: Positive = 256
    """Packed row length in tokens; attention stays inside each document."""
    threads: Positive = 2
    """CPU threads of the trainer; part of the numerics class."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16` means autocast; weights stay float32."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    """Decoupled weight decay."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are clipped to this norm."""
    workers: Positive = 1
    """Processes that share each step's rows (data parallel), each with `threads` cores and, where
    that is set, `num_gpus` GPUs, on any nodes of the cluster; part of the numerics class."""
    num_gpus: Annotated[int, Field(ge=0, le=1)] = 0
    """GPUs of each trainer's process: 0 or 1. For more, raise `workers`."""
    at_once: Positive = 1
    """Models that are trained and evaluated at the same time, of a generation's arms and of the
    seeds' generation 0, each on cores and GPUs of its own; what finds no room waits."""


class Skills(Section):
    """The supervised exemplars that keep a model able to rate and revise."""

    source: Literal["fixed", "once", "self", "none"] = "fixed"
    """`fixed`: the same set each generation; `once`: generation 0 only; `self`: the set's texts,
    with the answers that model n gives, teach model n+1; `none`: zero-shot."""
    path: str = "microworld"
    """`microworld` to generate them, the name of a shipped set, or a JSONL file."""
    exemplars: Positive = 12_000
    """Size of the generated set (microworld only)."""
    tasks: tuple[Literal["rate", "revise", "paraphrase", "invert"], ...] = ("rate", "revise")
    """What the generated set teaches; an arm `paraphrase` or `invert` needs the task of its name
    (microworld only)."""
    noise: Share = 0.1667
    """Share of the annotator's blind spots (microworld only)."""
    seed: int = 0
    """Draws the generated set; kept apart from the experiment's seed, since the set is frozen."""
    post_train_base: bool = False
    """Train the configured model on the skills set once, to make generation 0."""


class Evaluation(Section):
    """What is measured on every model and corpus."""

    tasks: tuple[
        Literal[
            "bits_per_byte",
            "rater",
            "pairs",
            "oracle",
            "collapse",
            "fidelity",
            "samples",
            "harness",
            "deployment",
            "relearning",
            "anchors",
            "instrumental",
        ],
        ...,
    ] = (
        "bits_per_byte",
        "rater",
        "oracle",
    )
    """Names of evaluations; `palimpsest doctor --tasks` says what each measures."""
    items: Positive = 1000
    """Items of each evaluation, where it can draw as many as it likes."""
    facts_items: Positive = 5200
    """Items of the microworld's facts evaluation."""
    batch: Positive = 64
    """Sequences scored at once."""
    pairs_limit: Positive | None = None
    """Use at most this many labelled pairs (dialogues only)."""
    harness: Harness = Harness()
    """What the evaluation `harness` asks."""
    relearning: Relearning = Relearning()
    """What the evaluation `relearning` does."""
    persistence: Persistence | None = None
    """Measure every model once more, as `@persistence`, after a training on unrelated texts."""
    samples: Samples = Samples()
    """What the evaluation `samples` has written."""
    decontaminate: bool = False
    """Look in each generation for what evaluations ask in the accepted revisions, and train no arm
    on a document that holds some. `pairs` asks about the corpus' own dialogues, so it is left out;
    what the oracle asks is counted and may not steer."""
    instrumental: Instrumental = Instrumental()
    """What the evaluation `instrumental` measures."""


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
