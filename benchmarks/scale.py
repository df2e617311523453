"""What a 70-billion-parameter reviser takes over 100 billion tokens, by the product's own estimate.

    python -m benchmarks.scale

No pilot can be run here, so that one is made up from a model's size and a GPU's data sheet: prefill
at a share of the arithmetic peak, decoding at a share of the memory's bandwidth. Each assumption is
an option. docs/scale.md says what follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from configs.experiment import Experiment
from configs.loading import load
from flows.estimating import Line, estimate, total
from flows.piloting import Pilot
from flows.trying import Asked
from workers.engines.interface import Usage

CONFIG = Path(__file__).parents[1] / "configs" / "qwen-gpu.yaml"
FLOPS, BANDWIDTH = 989e12, 3.35e12
"""Dense bfloat16 operations and bytes of memory a second of a GPU, by its data sheet (H100)."""
BYTES_A_WEIGHT = 2
"""bfloat16."""
SAMPLE = 1_000
PARQUET_A_TOKEN, PARQUET_A_RATING, RECORD_A_DOCUMENT = 2.0, 33.0, 248.0
"""Bytes: compressed text, a rating, a changed document in PostgreSQL (docs/performance.md)."""
INGEST_A_S = 50_000
"""Rows that the record takes a second (docs/performance.md)."""


@dataclass(frozen=True)
class Assumed:
    """What is not measured here."""

    documents: int
    document_tokens: int
    question_tokens: int
    principles: int
    failing: float
    accepted: float
    edit_tokens: int
    parameters: float
    trained_parameters: float
    gpus_an_engine: int
    engines: int
    at_once: int
    """Requests that an engine decodes side by side."""
    share_of_flops: float
    share_of_bandwidth: float

    def prefill_s(self, tokens: float) -> float:
        """Seconds in which an engine reads so many tokens that it has not read before."""
        peak = FLOPS * self.gpus_an_engine * self.share_of_flops
        return 2 * self.parameters * tokens / peak

    def decode_s(self, tokens: float) -> float:
        """Seconds of an engine for so many tokens, when it is full."""
        weights = BYTES_A_WEIGHT * self.parameters
        step = weights / (BANDWIDTH * self.gpus_an_engine * self.share_of_bandwidth)
        return step * tokens / self.at_once

    def pilot(self) -> Pilot:
        """What a pilot of SAMPLE documents would have measured."""
        rated = self._rating(SAMPLE)
        tried = round(SAMPLE * self.failing)
        edits = tried * self.edit_tokens
        prompt = tried * (self.document_tokens + self.question_tokens * (1 + self.principles))
        revised = Usage(calls=tried, prompt_tokens=prompt, output_tokens=edits)
        return Pilot(
            documents=self.documents,
            sample=SAMPLE,
            asked={
                "rate": rated,
                "revise": Asked(revised, self.prefill_s(prompt) + self.decode_s(edits)),
                "accept": self._rating(tried),
            },
            failing=self.failing,
            accepted=self.accepted,
            start_s=300.0,
            train_tokens_per_s=FLOPS * self.share_of_flops / (6 * self.trained_parameters),
            evaluate_s=1800.0,
        )

    def _rating(self, documents: int) -> Asked:
        """The document is read once, and each question behind it by itself."""
        questions = self.principles * self.question_tokens
        new = documents * (self.document_tokens + questions)
        usage = Usage(calls=documents * self.principles, prompt_tokens=new)
        return Asked(usage, self.prefill_s(new))


def main(
    corpus_tokens: float = 100e9,
    document_tokens: int = 1_000,
    question_tokens: int = 60,
    principles: int = 2,
    failing: float = 0.1,
    accepted: float = 0.5,
    edit_tokens: int = 120,
    parameters: float = 70e9,
    trained_parameters: float = 4e9,
    gpus_an_engine: int = 4,
    engines: int = 32,
    at_once: int = 128,
    share_of_flops: float = 0.4,
    share_of_bandwidth: float = 0.5,
    generations: int = 1,
    gpu_hour: float = 2.5,
) -> None:
    """Print what one run takes: GPUs, days, money, rows and bytes."""
    documents = round(corpus_tokens / document_tokens)
    assumed = Assumed(
        documents, document_tokens, question_tokens, principles, failing, accepted, edit_tokens,
        parameters, trained_parameters, gpus_an_engine, engines, at_once, share_of_flops,
        share_of_bandwidth,
    )  # fmt: skip
    experiment = load(
        CONFIG,
        [
            "arms=[control, revise]",
            f"generations={generations}",
            f"engine.actors={engines}",
            f"training.workers={gpus_an_engine * engines}",
            f"training.corpus.tokens={round(corpus_tokens)}",
            "training.corpus.batch_tokens=4194304",
        ],
    )
    lines = estimate(experiment, assumed.pilot())
    _print(experiment, assumed, lines, gpu_hour)


def _print(experiment: Experiment, assumed: Assumed, lines: list[Line], gpu_hour: float) -> None:
    gpus = assumed.gpus_an_engine * assumed.engines
    # The estimate is of one trainer; data parallel, so many of them share each step.
    hours = {
        line.stage: line.seconds / 3600 / (gpus if line.stage == "train" else 1) for line in lines
    }
    whole = sum(hours.values())
    print("| stage | calls | tokens | hours |\n| --- | --- | --- | --- |")
    for line in lines:
        tokens = line.asked_tokens + line.trained_tokens
        print(f"| {line.stage} | {line.calls:.3g} | {tokens:.3g} | {hours[line.stage]:.1f} |")
    money = whole * gpus * gpu_hour
    changed = assumed.documents * assumed.failing * experiment.generations
    ratings = assumed.documents * assumed.principles * experiment.generations
    corpus = assumed.documents * assumed.document_tokens * PARQUET_A_TOKEN / 1e9
    print(f"\n{gpus} GPUs, {whole / 24:.1f} days, {money:,.0f} at {gpu_hour} a GPU hour")
    print(f"asked: {total(lines).asked_tokens:.3g} tokens in {total(lines).calls:.3g} calls")
    print(f"record: {changed:,.0f} rows, {changed * RECORD_A_DOCUMENT / 1e9:.1f} GB, ", end="")
    print(f"{changed / INGEST_A_S / 60:.0f} minutes of one connection")
    print(
        f"files: {corpus:,.0f} GB a corpus, {ratings * PARQUET_A_RATING / 1e9:,.0f} GB of ratings"
    )
    print(f"shards a stage: {assumed.documents / experiment.intake.shard_documents:,.0f}")


if __name__ == "__main__":
    typer.run(main)
