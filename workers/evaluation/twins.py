"""Twins: a model of a corpus, and others that differ in one capability that was taken from it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from configs.experiment import Experiment
from configs.principles import Principles
from configs.prompts import PromptFile
from configs.stages import Stage
from configs.training import Training
from workers.checkpoints import CheckpointRef, load_tokenizer
from workers.corpora.store import CorpusRef, CorpusWriter, iterate
from workers.evaluation.instrumental import BITS, BITS_FILE, TASK, bits_lost, decided_from
from workers.evaluation.permuting import permuted
from workers.evaluation.subject import asked_engine
from workers.evaluation.text_tasks import windows_of
from workers.mixing import MixSpec
from workers.problems import InputProblem
from workers.prompts import Prompts
from workers.records import Document, MetricRow
from workers.sharing import MOUNTED, SharedStore
from workers.shuffling import order_key
from workers.storage import read_table, write_table
from workers.training import TrainSpec, train

SHARD_DOCUMENTS = 5_000
Progress = Callable[[str, int, int, dict[str, Any]], None]


@dataclass(frozen=True)
class TwinSpec:
    """A model of a corpus, or its twin that one capability was taken from."""

    experiment: Experiment
    corpus: CorpusRef
    shape: CheckpointRef
    """Whose config and tokenizer it has."""
    prompt_file: PromptFile
    principles: Principles
    seed: int
    """Draws the random weights, the order of training and the permutation."""
    out: str
    """Folder for its bits of the held-out documents."""
    capability: str | None = None
    """What is permuted; None for the model itself."""
    original: str | None = None
    """File with the bits of the model itself, where this is a twin of it."""
    store: SharedStore = MOUNTED
    """What is read is fetched from it, and what is found is published there."""


def measure_twin(spec: TwinSpec, progress: Progress) -> list[MetricRow]:
    """Train a model or its twin, keep its bits of the held-out documents, and say what it lost.

    Neither the model nor the permuted corpus is kept.

    Returns:
        The capability's value as `bits_lost` gives it; nothing for the model itself.

    Raises:
        InputProblem: the corpus has too few documents to hold some out.
        WorkProblem: training failed, or the disk is full.
    """
    for folder in (spec.corpus.uri, spec.shape.uri):
        spec.store.fetch_folder(folder)
    prompts = Prompts(spec.prompt_file, spec.principles, load_tokenizer(spec.shape))
    held_out, out = _held_out(spec), Path(spec.out)
    out.mkdir(parents=True, exist_ok=True)
    original = read_table(spec.store.fetch_file(spec.original)) if spec.original else None
    if original is not None and not _permutes(spec):
        # The same text makes the same model.
        found = original
    else:
        found = _bits(spec, held_out, prompts, out, progress)
    write_table(out / BITS_FILE, found)
    spec.store.publish_file(out / BITS_FILE)
    if original is None or spec.capability is None:
        return []
    starts = [decided_from(prompts, spec.capability, document.text) for document in held_out]
    return [each.row for each in bits_lost(spec.capability, original, found, starts)]


def is_held_out(document: Document, share: float) -> bool:
    """Whether a document is kept from the twins: by its id, so alike in every corpus version."""
    return order_key(TASK, document.doc_id) < share * 2**64


def _bits(
    spec: TwinSpec, held_out: list[Document], prompts: Prompts, out: Path, progress: Progress
) -> pa.Table:
    """Train, and score the held-out documents token by token."""
    settings = spec.experiment
    with tempfile.TemporaryDirectory(prefix="twin-", dir=out) as folder:
        model = _train(spec, Path(folder), progress)
        engine = asked_engine(settings, model)
        texts = [document.text for document in held_out]
        windows, owners = windows_of(prompts, texts, settings.model.max_length)
        bits: list[list[float]] = [[] for _ in texts]
        for owner, logprobs in zip(owners, engine.token_logprobs(windows), strict=True):
            bits[owner] += [-each / math.log(2) for each in logprobs]
        engine.close()
    columns = [[document.doc_id for document in held_out], bits]
    arrays = [pa.array(c, type=f.type) for c, f in zip(columns, BITS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=BITS)


def _train(spec: TwinSpec, folder: Path, progress: Progress) -> CheckpointRef:
    """Train on the corpus as this model is shown it, from random weights."""
    with CorpusWriter(folder, SHARD_DOCUMENTS) as writer:
        for document in _shown(spec):
            writer.add(document)
        corpus = writer.finish()
    training = _recipe(spec.experiment)
    mix = MixSpec(
        corpus=corpus,
        corpus0=corpus,
        excluded=frozenset(),
        tokens=training.corpus.tokens,
        real_floor=0.0,
        window=training.window,
        seed=spec.seed,
        checkpoint=spec.shape,
        prompt_file=spec.prompt_file,
        principles=spec.principles,
        out=str(folder / "mix"),
    )
    made = train(
        TrainSpec(
            parent=spec.shape,
            reinitialise=True,
            mix=mix,
            skills=None,
            prompt_file=spec.prompt_file,
            principles=spec.principles,
            training=training,
            seed=spec.seed,
            home=str(folder),
        ),
        progress,
    )
    return made.checkpoint


def _recipe(experiment: Experiment) -> Training:
    settings = experiment.evaluation.instrumental
    stage = Stage(
        tokens=settings.tokens,
        learning_rate=settings.learning_rate,
        batch_tokens=settings.batch_tokens,
        warmup_steps=settings.warmup_steps,
    )
    # In one process each: what there is to do at the same time are other capabilities' twins.
    return experiment.training.model_copy(update={"corpus": stage, "workers": 1})


def _read(spec: TwinSpec) -> Iterator[Document]:
    """The documents of the corpus that are not held out."""
    share = spec.experiment.evaluation.instrumental.held_out_share
    return (each for each in iterate(spec.corpus) if not is_held_out(each, share))


def _shown(spec: TwinSpec) -> Iterable[Document]:
    """The same, as this model is shown them."""
    if spec.capability is None:
        return _read(spec)
    return permuted(lambda: _read(spec), spec.capability, spec.seed)


def _permutes(spec: TwinSpec) -> bool:
    """Whether the twin is shown any other text than its model."""
    pairs = zip(_read(spec), _shown(spec), strict=True)
    return any(one.text_sha256 != other.text_sha256 for one, other in pairs)


def _held_out(spec: TwinSpec) -> list[Document]:
    settings = spec.experiment.evaluation
    share = settings.instrumental.held_out_share
    kept = (each for each in iterate(spec.corpus) if is_held_out(each, share))
    found = list(islice(kept, settings.items))
    if len(found) < 2 or next(_read(spec), None) is None:
        raise InputProblem(
            f"evaluation.instrumental.held_out_share: {share} of a corpus of "
            f"{spec.corpus.documents} documents leaves too few to train on, or fewer than two to "
            "compare on; change it, or raise corpus.documents"
        )
    return found
