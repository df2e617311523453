"""Model n+1: trained on the mix of its corpus, then evaluated with the corpus beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from configs.arms import Arm as ArmName
from configs.identity import stage_settings
from db.models import Generation, Stage
from db.records import (
    EvaluationRow,
    StageCosts,
    add_checkpoint,
    derive,
    ensure_generation,
    find_checkpoint,
    find_corpus_version,
    find_stage,
    record_evaluations,
    set_generation,
)
from flows.context import ArmState, RunContext, TrainedOn
from flows.stages import Finished, Recipe, costs, numerics_class, perform
from workers.checkpoints import CheckpointRef, open_checkpoint
from workers.corpora.sources import source_signature
from workers.evaluation.census import (
    CorpusCensus,
    collapse_census,
    corpus_census,
    training_census,
)
from workers.evaluation.collapse import VERSION as COLLAPSE
from workers.evaluation.items import ITEMS_FILE
from workers.interrupting import stop_if_asked
from workers.mixing import MixSpec
from workers.problems import InputProblem
from workers.records import MetricRow

S = TypeVar("S")
T = TypeVar("T")


def generation_0(context: RunContext, arm: ArmState, row: Generation) -> CheckpointRef:
    """Model 0: the configured one, that one after the skills set, or one that is trained here."""
    settings = context.experiment
    assert context.admitted is not None, "the model is admitted before generation 0 is made"
    if settings.training.generation_0 == "trained":
        return _successor(context, arm, row, 0, frozenset())
    if settings.skills.post_train_base:
        return _trained(context, _train(context, row, context.admitted, None, arm.seed))
    return context.admitted


def train_model(context: RunContext, arm: ArmState, index: int, excluded: frozenset[str]) -> None:
    """Train an arm's model of generation `index`, and record what it was trained on."""
    with context.write() as session:
        row = ensure_generation(session, arm.row, index)
    arm.checkpoints.append(_successor(context, arm, row, index, excluded))
    with context.write() as session:
        found = find_checkpoint(session, arm.checkpoints[-1].id)
        set_generation(session, row, checkpoint_id=found.id if found else None)


def _successor(
    context: RunContext, arm: ArmState, row: Generation, index: int, excluded: frozenset[str]
) -> CheckpointRef:
    """Train a model on a mix of the arm's corpora, and note what of it arms must agree in."""
    mix = _mix_spec(context, arm, index, excluded)
    # What inversion made carries its mark wherever it goes; generation 0 is nobody's doing.
    mark = {"inverted": True} if arm.name is ArmName.INVERT and index else {}
    done = _train(context, row, mix.checkpoint, mix, arm.seed, mark)
    seen = done.meta["mix"]
    arm.trained[index] = TrainedOn(
        arm.seed, seen["tokens"], done.meta["tokens_seen"], done.meta["steps"]
    )
    with context.write() as session:
        set_generation(
            session,
            row,
            training_documents=seen["documents"],
            training_tokens=seen["tokens"],
            unique_tokens=seen["unique_tokens"],
            epochs=seen["epochs"],
        )
    _census_of_training(context, arm, row, mix, done)
    return _trained(context, done)


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
    accumulates = mix.mode != "replace" and index > 0
    return MixSpec(
        corpus=arm.corpora[-1],
        corpus0=arm.corpora[0],
        earlier=tuple(arm.corpora[-2:0:-1]) if accumulates else (),
        excluded=excluded,
        tokens=training.corpus.tokens * (index + 1 if mix.mode == "accumulate" else 1),
        real_floor=max(mix.real_floor, 1 / (index + 1)) if accumulates else mix.real_floor,
        window=training.window,
        seed=arm.seed,
        checkpoint=start,
        prompt_file=context.prompt_file,
        principles=context.principles,
        out="",
    )


def _train(
    context: RunContext,
    row: Generation,
    parent: CheckpointRef,
    mix: MixSpec | None,
    seed: int,
    mark: dict[str, Any] | None = None,
) -> Finished:
    """Train a successor of `parent` on the mix, if there is one, and then on the skills set.

    Its row is given the mark.
    """
    settings = context.experiment
    skills = context.skills
    if settings.skills.source == "once" and mix is not None:
        skills = None
    real = mix is not None and mix.real_floor > 0
    # A generation 0 that is trained here begins from random weights, whatever its successors do.
    first = mix is not None and mix.checkpoint == context.admitted
    trains_first = settings.training.generation_0 == "trained"
    reinitialise = mix is not None and (
        settings.training.init == "scratch" or (first and trains_first)
    )
    inputs: dict[str, Any] = {
        "checkpoint": parent.id,
        "corpus": mix.corpus.id if mix else None,
        "corpus0": mix.corpus0.id if mix and real else None,
        "earlier": [each.id for each in mix.earlier] if mix else [],
        "excluded": sorted(mix.excluded) if mix else [],
        "skills": skills.digest if skills else None,
        "principles": context.principles.digest,
        "prompts": context.prompt_file.digest,
        "seed": seed,
    }
    if mix is not None and settings.mix.mode != "replace":
        # They follow from the generation, which is no setting.
        inputs["shares"] = {pool.name: pool.tokens for pool in mix.pools}
    if reinitialise and settings.training.init != "scratch":
        inputs["reinitialise"] = True
    recipe = Recipe("train", stage_settings(settings, "train"), inputs)
    out = context.stage_folder(recipe.id)

    def work(stage: Stage) -> Finished:
        # Imported here: a run that reuses everything does not wait for torch.
        from workers.training import TrainSpec, train

        spec = TrainSpec(
            parent=parent,
            reinitialise=reinitialise,
            mix=replace(mix, out=str(out / "mix")) if mix else None,
            skills=skills,
            prompt_file=context.prompt_file,
            principles=context.principles,
            training=settings.training,
            seed=seed,
            home=str(context.home),
            store=context.store,
            wait_s=settings.engine.wait_s,
        )
        made = _remotely(context, train, spec, workers=settings.training.workers)
        # What it was before post-training: generation 0 was the configured model itself.
        before = made.corpus_stage if mix else parent
        meta = {
            "checkpoint": [made.checkpoint.id, made.checkpoint.uri],
            "corpus_stage": before and [before.id, before.uri],
            "mix": asdict(made.mix) if made.mix else None,
            "losses": made.losses,
            "tokens_seen": made.tokens_seen,
            "steps": made.steps,
            "tokens_per_s": made.tokens_per_s,
        }
        said = f"{made.tokens_seen:,} tokens, {made.tokens_per_s:,.0f}/s"
        context.reporter.step(f"  model {made.checkpoint.id[:12]}: {said}")
        spent = StageCosts(seconds=made.seconds, documents=made.mix.documents if made.mix else None)
        # Asked before the write: on a cluster the nodes say it, and a run that joins them writes.
        numerics = _numerics_of_training(context)
        record = partial(_record_checkpoints, context, recipe, made, numerics, mark)
        return Finished(made.checkpoint.id, made.checkpoint.uri, meta, spent, record)

    def whole(output: Finished) -> bool:
        between = output.meta["corpus_stage"]
        uris = (output.uri, *(between[1:] if between else ()))
        return all(_is_whole(context, context.located(uri)) for uri in uris)

    return perform(context, row, recipe, work, whole, lambda: _numerics_of_training(context))


def _numerics_of_training(context: RunContext) -> dict[str, Any]:
    settings = context.experiment.training
    return numerics_class(context, settings.threads, settings.workers)


def _trained(context: RunContext, done: Finished) -> CheckpointRef:
    identity, uri = done.meta["checkpoint"]
    return CheckpointRef(identity, context.located(uri))


def _is_whole(context: RunContext, uri: str) -> bool:
    """Whether a recorded checkpoint still stands, unaltered where it is on this node."""
    if not context.store.folder_stands(uri):
        return False
    try:
        if Path(uri).exists():
            open_checkpoint(uri)
    except InputProblem:
        return False
    return True


def _record_checkpoints(
    context: RunContext,
    recipe: Recipe,
    made: Any,
    numerics: dict[str, Any],
    mark: dict[str, Any] | None,
    session: Session,
) -> None:
    """Record the trained model and, where its training had two stages, the one between them."""
    parent = find_checkpoint(session, recipe.inputs["checkpoint"])
    mixed = (recipe.inputs["corpus0"], *recipe.inputs["earlier"])
    read = (("trained_on", recipe.inputs["corpus"]), *(("mixed_from", each) for each in mixed))
    for each in (made.corpus_stage, made.checkpoint):
        if each is None:
            continue
        row = add_checkpoint(
            session,
            each.id,
            uri=each.uri,
            parent=parent,
            recipe_id=recipe.id,
            tokens_seen=made.tokens_seen if each is made.checkpoint else None,
            numerics_class=numerics,
            run=context.run,
            meta=mark,
        )
        for relation, digest in read:
            corpus = find_corpus_version(session, digest) if digest else None
            if corpus is not None:
                derive(session, row, relation, corpus)


def evaluate_model(context: RunContext, arm: ArmState, index: int) -> None:
    """Evaluate an arm's newest model; equal models are evaluated once."""
    settings = context.experiment
    checkpoint = arm.checkpoints[index]
    held_out = context.held_out[arm.seed]
    with context.write() as session:
        row = ensure_generation(session, arm.row, index)
        found = find_checkpoint(session, checkpoint.id)
    between = _corpus_stage(context, found.recipe_id if found else None)
    inputs = {
        "checkpoint": checkpoint.id,
        "corpus_stage": between.id if between else None,
        "held_out": held_out.id if held_out else None,
        "principles": context.principles.digest,
        "prompts": context.prompt_file.digest,
        "world": _world(context),
    }
    recipe = Recipe("evaluate", stage_settings(settings, "evaluate"), inputs)
    out = context.stage_folder(recipe.id)

    def work(stage: Stage) -> Finished:
        from workers.evaluation.suite import EvaluateSpec, evaluate

        began = time.monotonic()
        spec = EvaluateSpec(
            experiment=settings,
            checkpoint=checkpoint,
            corpus_stage=between,
            held_out=held_out,
            prompt_file=context.prompt_file,
            principles=context.principles,
            out=str(out),
            store=context.store,
        )
        rows = _remotely(context, evaluate, spec)
        record = partial(_record_rows, find_checkpoint, checkpoint.id, recipe.id, rows)
        return Finished(recipe.id, str(out), {"metrics": len(rows)}, costs(began), record)

    def whole(output: Finished) -> bool:
        return ITEMS_FILE in context.store.files_standing(output.uri, [ITEMS_FILE])

    threads = settings.training.threads
    done = perform(context, row, recipe, work, whole, lambda: numerics_class(context, threads))
    arm.evaluations.append(context.store.fetch_files(done.uri, [ITEMS_FILE]))


def _corpus_stage(context: RunContext, recipe_id: str | None) -> CheckpointRef | None:
    """The model before its post-training, where its training had both stages."""
    with context.database.readers() as session:
        stage = find_stage(session, recipe_id) if recipe_id else None
    between = stage.meta.get("corpus_stage") if stage else None
    if not between:
        return None
    # Where nodes fetch it, it is verified there, and need not be on this one.
    between = CheckpointRef(between[0], context.located(between[1]))
    return between if context.store.url else open_checkpoint(between.uri)


def _world(context: RunContext) -> dict[str, Any]:
    """What evaluation items are drawn from, beside the held-out documents."""
    corpus = context.experiment.corpus
    asked = {"harness": context.harness} if context.harness is not None else {}
    if corpus.kind == "microworld":
        return {"misaligned_share": corpus.misaligned_share, **asked}
    if corpus.kind == "dialogues" and "pairs" in context.experiment.evaluation.tasks:
        return {"pairs": source_signature(corpus, 0), **asked}
    return asked


def evaluate_corpus(context: RunContext, arm: ArmState, index: int) -> None:
    """Measure an arm's corpus: its true misaligned share, where that is known, and collapse."""
    corpus, first = arm.corpora[index], arm.corpora[0]
    tasks = context.experiment.evaluation.tasks
    counts: list[tuple[dict[str, Any], Callable[[], list[MetricRow]]]] = []
    if "oracle" in tasks:
        census = CorpusCensus(((corpus, None),), store=context.store)
        counts.append(({"corpus": corpus.id}, partial(corpus_census, census)))
    if "collapse" in tasks:
        # Of the world's few words none is rare; runs of three are.
        order = 3 if context.experiment.corpus.kind == "microworld" else 1
        inputs = {"corpus": corpus.id, "corpus0": first.id, "order": order, "collapse": COLLAPSE}
        counts.append((inputs, partial(collapse_census, corpus, first, order, context.store)))
    if not counts:
        return
    with context.write() as session:
        row = ensure_generation(session, arm.row, index)
    for inputs, count in counts:
        _census(
            context, row, inputs, count, lambda session: find_corpus_version(session, corpus.id)
        )


def _census_of_training(
    context: RunContext,
    arm: ArmState,
    row: Generation,
    made_of: MixSpec,
    trained: Finished,
) -> None:
    if "oracle" not in context.experiment.evaluation.tasks:
        return
    mix = trained.meta["mix"]
    parts = tuple((pool.corpus, pool.name) for pool in made_of.pools)
    census = CorpusCensus(parts, context.located(mix["uri"]), context.store)
    _census(
        context,
        row,
        # A number about this generation's training: recorded for it, whoever shares the mix.
        {"mix": mix["digest"], "corpus": arm.corpora[-1].id, "generation": row.id},
        partial(training_census, census),
        lambda session: session.get(Generation, row.id),
    )


def _census(
    context: RunContext,
    row: Generation,
    inputs: dict[str, Any],
    count: Callable[[], list[MetricRow]],
    subject: Callable[[Session], Any],
) -> None:
    recipe = Recipe("evaluate", {"census": True}, inputs)
    out = context.stage_folder(recipe.id)

    def work(stage: Stage) -> Finished:
        began = time.monotonic()
        rows = count()

        def record(session: Session) -> None:
            _write_rows(session, subject(session), recipe.id, rows)

        return Finished(recipe.id, str(out), {"metrics": len(rows)}, costs(began), record)

    perform(context, row, recipe, work, lambda output: True)


def _record_rows(
    find: Callable[[Session, str], Any],
    digest: str,
    recipe_id: str,
    rows: list[MetricRow],
    session: Session,
) -> None:
    _write_rows(session, find(session, digest), recipe_id, rows)


def _write_rows(session: Session, subject: Any, recipe_id: str, rows: list[MetricRow]) -> None:
    held = [EvaluationRow(**asdict(row)) for row in rows]
    record_evaluations(session, subject, held, recipe_id=recipe_id)


def _remotely(
    context: RunContext, function: Callable[[S, Any], T], spec: S, *, workers: int = 1
) -> T:
    """Run a long job on Ray and show its progress.

    Args:
        context: the run.
        function: the job.
        spec: what it is given.
        workers: processes that it starts for the work, if more than one.
    """
    from workers.remote import run_remote

    context.connect_ray()
    settings = context.experiment.training
    began = {"": time.monotonic()}

    def show(what: str, done: int, total: int, figures: dict[str, Any]) -> None:
        stop_if_asked()
        # A task begins where the one before it was last heard of.
        start = began.setdefault(what, max(began.values()))
        began[""] = time.monotonic()
        said = " ".join(f"{name} {value:.3g}" for name, value in figures.items())
        context.reporter.progress(what, done, total, start, said)

    both_need_gpus = context.experiment.engine.gpus_per_actor > 0 and settings.num_gpus > 0
    if context.cluster() is not None or both_need_gpus:
        # Engines keep GPUs, and on a cluster cores, that training may need, and the next stage that
        # asks a model has new weights to load anyway.
        context.stop_engines()
    return run_remote(
        function,
        spec,
        cpus=settings.threads,
        gpus=settings.num_gpus,
        workers=workers,
        progress=show,
        say=context.say,
        wait_s=context.experiment.engine.wait_s,
    )
