"""Model n+1: trained on the mix of its arm's corpora."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from configs.arms import Arm as ArmName
from configs.experiment import Experiment
from configs.identity import stage_settings
from db.models import Generation
from db.records import ensure_generation, find_checkpoint, set_generation
from flows.context import ArmState, RunContext, TrainedOn
from flows.evaluating import census_of_training
from flows.stages import Finished, Recipe
from flows.training import TrainingPlan, train_stage, trained
from workers.checkpoints import CheckpointRef, load_tokenizer
from workers.framing import frame_ids
from workers.mix_drawing import check_order
from workers.mix_specs import MixSpec
from workers.prompts import Prompts
from workers.skills import SkillsSet


def generation_0(context: RunContext, arm: ArmState, row: Generation) -> CheckpointRef:
    """Model 0: the configured one, that one after the skills set, or one that is trained here."""
    settings = context.experiment
    assert context.admitted is not None, "the model is admitted before generation 0 is made"
    _check_mix(context, _mix_spec(context, arm, 0, frozenset()))
    if settings.training.generation_0 == "trained":
        return _successor(context, arm, row, 0, frozenset())
    if settings.skills.post_train_base:
        lessons = _Lessons(settings, context.admitted, None, context.skills)
        return trained(context, _train(context, row, lessons, arm.seed))
    return context.admitted


def train_model(context: RunContext, arm: ArmState, index: int, excluded: frozenset[str]) -> None:
    """Train an arm's model of generation `index`, and record what it was trained on."""
    with context.write() as session:
        row = ensure_generation(session, arm.row, index)
    arm.checkpoints.append(_successor(context, arm, row, index, excluded))
    with context.write() as session:
        found = find_checkpoint(session, arm.checkpoints[-1].id)
        set_generation(session, row, checkpoint_id=found.id if found else None)


def _check_mix(context: RunContext, mix: MixSpec) -> None:
    """Refuse an order or a frame that this corpus or this model has not got.

    Raises:
        InputProblem: it cannot be had.
    """
    check_order(mix.corpus0, mix)
    if mix.frame is not None:
        tokenizer = load_tokenizer(mix.checkpoint)
        prompts = Prompts(context.prompt_file, context.principles, tokenizer)
        frame_ids(prompts, mix.frame, mix.window)


@dataclass(frozen=True)
class _Lessons:
    """One training of a successor, which may take several."""

    experiment: Experiment
    """The experiment, with the settings of this training."""
    parent: CheckpointRef
    mix: MixSpec | None
    skills: SkillsSet | None
    first: str = "corpus"
    mark: dict[str, Any] | None = None


def _successor(
    context: RunContext, arm: ArmState, row: Generation, index: int, excluded: frozenset[str]
) -> CheckpointRef:
    """Train a model on a mix of the arm's corpora, and note what of it arms must agree in."""
    mix = _mix_spec(context, arm, index, excluded)
    settings = context.experiment
    # What inversion made carries its mark wherever it goes; generation 0 is nobody's doing.
    mark = {"inverted": True} if arm.name is ArmName.INVERT and index else {}
    skills = _taught(context, arm, index)
    if settings.training.entry == "fine_tune":
        made = _train_late(context, row, arm, mix, skills, mark)
    else:
        lessons = _Lessons(settings, mix.checkpoint, mix, skills, mark=mark)
        made = [(mix, _train(context, row, lessons, arm.seed))]
    arm.trained[index] = _trained_on(arm.seed, [done for _, done in made])
    seen = [done.meta["mix"] for _, done in made]
    tokens, unique = (sum(each[name] for each in seen) for name in ("tokens", "unique_tokens"))
    with context.write() as session:
        set_generation(
            session,
            row,
            training_documents=max(each["documents"] for each in seen),
            training_tokens=tokens,
            unique_tokens=unique,
            epochs=tokens / unique,
        )
    census_of_training(context, arm, row, made)
    return trained(context, made[-1][1])


def _train_late(
    context: RunContext,
    row: Generation,
    arm: ArmState,
    mix: MixSpec,
    skills: SkillsSet | None,
    mark: dict[str, Any],
) -> list[tuple[MixSpec, Finished]]:
    """Train on corpus 0, and then in a short stage of its own on the arm's mix.

    The first of the two is a stage of its own on record, so that arms and generations that begin
    alike share it.
    """
    settings = context.experiment
    training = settings.training.model_copy(update={"entry": "throughout"})
    before = replace(mix, corpus=mix.corpus0, earlier=(), real_floor=0.0)
    on_real = settings.model_copy(update={"training": training})
    first = _train(context, row, _Lessons(on_real, mix.checkpoint, before, None), arm.seed)
    late = replace(mix, tokens=training.fine_tune.tokens)
    # It goes on from that model, whatever the first one began with.
    training = training.model_copy(update={"corpus": training.fine_tune, "init": "parent"})
    on_mix = settings.model_copy(update={"training": training})
    parent = trained(context, first)
    lessons = _Lessons(on_mix, parent, late, skills, "fine_tune", mark)
    return [(before, first), (late, _train(context, row, lessons, arm.seed))]


def _trained_on(seed: int, stages: list[Finished]) -> TrainedOn:
    """What was measured of a model's training, as far as arms must agree in it."""
    mixes = [done.meta["mix"] for done in stages]
    late = mixes[-1]["tokens"] if len(mixes) > 1 else mixes[0].get("late_tokens", 0)
    return TrainedOn(
        seed,
        sum(mix["tokens"] for mix in mixes),
        sum(done.meta["tokens_seen"] for done in stages),
        sum(done.meta["steps"] for done in stages),
        late,
    )


def _taught(context: RunContext, arm: ArmState, index: int) -> SkillsSet | None:
    """The skills set that model `index` is post-trained on, if any."""
    source = context.experiment.skills.source
    if source == "once" and index:
        return None
    # Nobody came before generation 0: it learns from the set's author.
    return arm.skills[index] if source == "self" and index else context.skills


def _mix_spec(context: RunContext, arm: ArmState, index: int, excluded: frozenset[str]) -> MixSpec:
    """What model `index` is trained on, and which model it starts from or takes its shape from."""
    settings = context.experiment
    training, mix = settings.training, settings.mix
    assert context.admitted is not None, "the model is admitted before any is trained"
    start = {
        "parent": arm.checkpoints[-1] if arm.checkpoints else context.admitted,
        "base": arm.checkpoints[0] if arm.checkpoints else context.admitted,
        "scratch": context.admitted,
    }[training.init]
    tokens = training.corpus.tokens * (index + 1 if mix.mode == "accumulate" else 1)
    accumulates = mix.mode != "replace" and index > 0
    return MixSpec(
        corpus=arm.corpora[-1],
        corpus0=arm.corpora[0],
        earlier=tuple(arm.corpora[-2:0:-1]) if accumulates else (),
        excluded=excluded,
        tokens=tokens,
        real_floor=max(mix.real_floor, 1 / (index + 1)) if accumulates else mix.real_floor,
        window=training.window,
        seed=arm.seed,
        checkpoint=start,
        prompt_file=context.prompt_file,
        principles=context.principles,
        out="",
        real_before=tokens - tokens // 10 if training.entry == "last_tenth" else 0,
        order=training.order,
        told_by="assistant" if settings.corpus.kind == "microworld" else "label",
        frame=context.prompt_file.frame(training.framing),
    )


def _train(context: RunContext, row: Generation, lessons: _Lessons, seed: int) -> Finished:
    """Train a successor on the mix, if there is one, and then on the skills set."""
    settings, mix = lessons.experiment, lessons.mix
    training, skills = settings.training, lessons.skills
    real = mix is not None and (mix.real_floor > 0 or mix.real_before > 0)
    # A generation 0 that is trained here begins from random weights, whatever its successors do.
    first = lessons.parent == context.admitted and training.generation_0 == "trained"
    reinitialise = mix is not None and (training.init == "scratch" or first)
    inputs: dict[str, Any] = {
        "checkpoint": lessons.parent.id,
        "corpus": mix.corpus.id if mix else None,
        "corpus0": mix.corpus0.id if mix and real else None,
        "earlier": [each.id for each in mix.earlier] if mix else [],
        "excluded": sorted(mix.excluded) if mix else [],
        "skills": skills.digest if skills else None,
        "principles": context.principles.digest,
        "prompts": context.prompt_file.digest,
        "seed": seed,
    }
    if mix is not None:
        inputs |= _said_of(mix, settings)
    if reinitialise and training.init != "scratch":
        inputs["reinitialise"] = True
    plan = TrainingPlan(
        recipe=Recipe("train", stage_settings(settings, "train"), inputs),
        parent=lessons.parent,
        training=training,
        seed=seed,
        mix=mix,
        skills=skills,
        reinitialise=reinitialise,
        first=lessons.first,
        mark=lessons.mark,
    )
    return train_stage(context, row, plan)


def _said_of(mix: MixSpec, settings: Experiment) -> dict[str, Any]:
    """What of a mix stands in no setting and no digest, where it is not as ever."""
    said: dict[str, Any] = {}
    if settings.mix.mode != "replace":
        # They follow from the generation.
        said["shares"] = {pool.name: pool.tokens for pool in mix.pools}
    if mix.order != "mixed":
        said["told_by"] = mix.told_by
    if mix.frame is not None:
        said["frame"] = mix.frame
    return said
