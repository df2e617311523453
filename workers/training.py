"""Training: model n+1 from the mix, then from the skills set, by the Hugging Face trainer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, set_seed

from configs.principles import Principles
from configs.prompts import PromptFile
from configs.stages import Stage
from configs.training import Training
from workers.checkpoints import CheckpointRef, load_model, load_tokenizer, publish_model
from workers.framing import frame_ids
from workers.mix_specs import MixSpec
from workers.mixing import MixRef, build_mix, iterate_mix
from workers.optimising import STAGE_FIELDS, StagePlan, run_stage, settled
from workers.packing import Row, check_packing, check_step, framed_row, lengthened, reply_row
from workers.problems import InputProblem
from workers.prompts import Prompts
from workers.replay import interleaved, replayed
from workers.sharing import MOUNTED, SharedStore
from workers.shuffling import order_key
from workers.skills import SkillsSet, unusable_rows

Progress = Callable[[str, int, int, dict[str, Any]], None]


@dataclass(frozen=True)
class TrainSpec:
    """What model n+1 is made from."""

    parent: CheckpointRef
    """Where it starts; config and tokenizer come from it in any case."""
    reinitialise: bool
    """Start from random weights that the seed draws, instead of the parent's."""
    mix: MixSpec | None
    """The corpus stage; None leaves it out."""
    skills: SkillsSet | None
    """The skills stage; None leaves it out."""
    prompt_file: PromptFile
    principles: Principles
    training: Training
    seed: int
    home: str
    """Folder that the checkpoints are published in."""
    store: SharedStore = MOUNTED
    """What is read is fetched from it, and what is made is published there."""
    wait_s: float = 1800.0
    """Seconds for the processes of `training.workers` to find room."""
    first: str = "corpus"
    """Name of the first stage, whose settings are `training.corpus`: `corpus`, `fine_tune` or
    `persistence`."""


@dataclass(frozen=True)
class TrainResult:
    """What training made, and what it took."""

    checkpoint: CheckpointRef
    corpus_stage: CheckpointRef | None
    """The model between the stages; None unless there are both."""
    mix: MixRef | None
    tokens_seen: int
    """Tokens read in both stages."""
    steps: int
    """Optimiser steps of both stages."""
    losses: dict[str, float]
    """Mean loss over about the last quarter of each stage's steps, in nats a learned token."""
    tokens_per_s: float
    seconds: float


def train(spec: TrainSpec, progress: Progress) -> TrainResult:
    """Train and publish model n+1.

    Equal specs give equal bytes in one numerics class: same threads and workers, same kind of
    processor. Several workers are processes of their own, which this one starts and waits for.

    Raises:
        InputProblem: settings that do not fit together, or exemplars that cannot be used.
        WorkProblem: the loss is no number, memory is short, or the disk is full.
    """
    if spec.training.workers > 1:
        from workers.data_parallel import train_together

        fetch_inputs(spec)
        return train_together(spec, make_mix(spec, progress), progress)
    with settled(spec.training.threads):
        return fit(spec, lambda: make_mix(spec, progress), progress, publish=publisher(spec))


def fit(
    spec: TrainSpec,
    mix_of: Callable[[], MixRef | None],
    progress: Progress,
    publish: Callable[[Any, Any, dict[str, Any]], CheckpointRef],
) -> TrainResult:
    """Train in this process, alone or as one of several that do the same.

    Args:
        spec: what is made.
        mix_of: gives the mix; called once the settings have been checked.
        progress: called with how far it is.
        publish: takes a model, its tokenizer and what is known about it, and keeps it.
    """
    fetch_inputs(spec)
    tokenizer = load_tokenizer(spec.parent)
    prompts = Prompts(spec.prompt_file, spec.principles, tokenizer)
    model = _start(spec)
    _check(spec, model)
    lessons = _lessons(spec, prompts)
    mix = mix_of()
    shown = _shown(spec, prompts)
    plans = list(_plans(spec, mix, lessons, shown))
    about = {"parent": spec.parent.id, "mix": mix and mix.digest, "seed": spec.seed}
    began = time.monotonic()
    losses: dict[str, float] = {}
    corpus_stage = None
    for number, plan in enumerate(plans):
        losses[plan.name] = run_stage(model, plan, spec.training, spec.seed, progress)
        if number < len(plans) - 1:
            corpus_stage = publish(model, tokenizer, about)
    seconds = time.monotonic() - began
    checkpoint = publish(model, tokenizer, about)
    tokens = sum(plan.tokens for plan in plans)
    return TrainResult(
        checkpoint=checkpoint,
        corpus_stage=corpus_stage,
        mix=mix,
        tokens_seen=tokens,
        steps=sum(plan.steps for plan in plans),
        losses=losses,
        tokens_per_s=tokens / max(seconds, 1e-9),
        seconds=seconds,
    )


def make_mix(spec: TrainSpec, progress: Progress) -> MixRef | None:
    """Write the tokens of the corpus stage down, if there is one, where every node reads them."""
    if spec.mix is None:
        return None
    mix = build_mix(spec.mix, progress)
    spec.store.publish_folder(mix.uri)
    return mix


def publisher(spec: TrainSpec) -> Callable[[Any, Any, dict[str, Any]], CheckpointRef]:
    """Publishes models in the home, where every node reads them."""

    def publish(model: Any, tokenizer: Any, about: dict[str, Any]) -> CheckpointRef:
        made = publish_model(model, tokenizer, Path(spec.home), about)
        spec.store.publish_folder(made.uri)
        return made

    return publish


def fetch_inputs(spec: TrainSpec) -> None:
    """Have what is read here on this node, whichever node made it."""
    mix = spec.mix
    corpora = (mix.corpus, mix.corpus0, *mix.earlier) if mix is not None else ()
    for each in (spec.parent, *corpora):
        spec.store.fetch_folder(each.uri)


def _start(spec: TrainSpec) -> Any:
    set_seed(spec.seed)
    if not spec.reinitialise:
        return load_model(spec.parent)
    config = AutoConfig.from_pretrained(
        spec.parent.uri, local_files_only=True, trust_remote_code=False
    )
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def _check(spec: TrainSpec, model: Any) -> None:
    longest = getattr(model.config, "max_position_embeddings", None)
    settings = spec.training
    for field, wanted in (("corpus", spec.mix), ("skills", spec.skills)):
        if wanted is not None:
            stage: Stage = getattr(settings, field)
            name = STAGE_FIELDS[spec.first if field == "corpus" else field]
            check_step(settings.window, stage.batch_tokens, name, longest)
    if spec.mix is not None and spec.mix.window != settings.window:
        raise ValueError("the mix was planned for another window")
    if spec.mix is None and spec.skills is None:
        raise ValueError("there is nothing to train on")
    if settings.num_gpus and not torch.cuda.is_available():
        raise InputProblem(
            "training.num_gpus: 1, and PyTorch finds no GPU here; set 0, or look with `palimpsest "
            "doctor`"
        )
    check_packing(model)


def _shown(spec: TrainSpec, prompts: Prompts) -> Callable[[Sequence[int]], Row]:
    """Makes rows of a mix's tokens, behind the frame if there is one."""
    frame = frame_ids(prompts, spec.mix.frame if spec.mix else None, spec.training.window)
    begin = prompts.tokenizer.bos_token_id
    return lambda ids: framed_row(ids, frame, begin)


def _plans(
    spec: TrainSpec,
    mix: MixRef | None,
    lessons: list[Row],
    shown: Callable[[Sequence[int]], Row],
) -> Iterator[StagePlan]:
    if mix is not None:
        yield StagePlan(
            name=spec.first,
            settings=spec.training.corpus,
            tokens=mix.tokens,
            rows=lambda: (shown(row.input_ids) for row in iterate_mix(mix)),
        )
    if lessons:
        budget = spec.training.skills.tokens
        again = round(spec.training.replay * budget) if mix is not None else 0
        rows = [lessons[index] for index in _drawn(lessons, budget - again, spec.seed)]
        if spec.skills is not None and spec.skills.labelled_by is not None:
            # Every arm has a set of its own, and all are to be trained on equally much.
            rows = lengthened(rows, budget - again, spec.training.window)
        taught = sum(len(row.input_ids) for row in rows)
        yield StagePlan(
            name="skills",
            settings=spec.training.skills,
            tokens=taught + again,
            rows=lambda: interleaved(iter(rows), taught, replayed(mix, again, shown), again),
        )


def _lessons(spec: TrainSpec, prompts: Prompts) -> list[Row]:
    """The exemplars as rows, of which the answers are learned."""
    if spec.skills is None:
        return []
    exemplars = spec.skills.exemplars
    bad = unusable_rows(exemplars, spec.principles, spec.prompt_file)
    if bad:
        raise InputProblem(
            f"skills: exemplar {bad[0].line}: {bad[0].message}. {len(bad)} such problems in all; "
            "`palimpsest skills check` lists them."
        )
    rows: list[Row] = []
    for line, exemplar in enumerate(exemplars, 1):
        prompt = (
            prompts.rate(exemplar.text, exemplar.principles[0])
            if exemplar.task == "rate"
            else prompts.revise(exemplar.text, exemplar.principles, aim=exemplar.task)
        )
        row = reply_row(prompt, prompts.reply(exemplar.answer))
        if len(row.input_ids) > spec.training.window:
            raise InputProblem(
                f"skills: exemplar {line} is {len(row.input_ids)} tokens long with its question "
                f"and answer, over training.window ({spec.training.window}). Shorten it or raise "
                "the window."
            )
        rows.append(row)
    return rows


def _drawn(lessons: list[Row], tokens: int, seed: int) -> Iterator[int]:
    """Exemplars, by place, in freshly shuffled epochs, as many as fit into the token budget."""
    left, epoch = tokens, 0
    while True:
        order = sorted(range(len(lessons)), key=lambda i: (order_key(seed, "skills", epoch, i), i))
        for index in order:
            left -= len(lessons[index].input_ids)
            if left < 0:
                if epoch == 0 and index == order[0]:
                    raise InputProblem(
                        f"training.skills.tokens: {tokens} is less than one exemplar; raise it"
                    )
                return
            yield index
        epoch += 1
