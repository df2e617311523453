"""Whether instrumental value finds planted truths: `python -m benchmarks.instrumental_value`.

Corpora of the default microworld hold one capability that ties much together, gravity, and one that
hangs together with nothing, chance. The first must be worth more than the second, by intervals over
seeds that exclude each other, and the interval of the second must hold zero.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, get_args

import typer

from configs.experiment import Experiment
from configs.instrumental import Capability
from configs.loading import load
from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.checkpoints import admit
from workers.corpora.intake import import_corpus
from workers.evaluation.instrumental import BITS_FILE, TASK
from workers.evaluation.replication import SeedEstimate, over_seeds
from workers.evaluation.twins import TwinSpec, measure_twin

CONFIG = Path(__file__).parents[1] / "configs" / "microworld.yaml"
HIGH, ZERO = "gravity", "chance"
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Value:
    """What a capability is worth in corpora of so many seeds, in bits per 1,000 tokens."""

    capability: str
    value: float
    lower: float
    upper: float
    seeds: tuple[float, ...]

    def line(self) -> str:
        """A row of the table."""
        each = " ".join(f"{value:+.2f}" for value in self.seeds)
        interval = f"[{self.lower:+.2f}, {self.upper:+.2f}]"
        return f"{self.capability:34} {self.value:+7.2f}  {interval:18} {each}"


def experiment(capabilities: Sequence[str], tokens: int | None) -> Experiment:
    """The shipped microworld with the evaluation `instrumental`."""
    asked = f"evaluation.instrumental.capabilities=[{','.join(capabilities)}]"
    budget = [f"evaluation.instrumental.tokens={tokens}"] if tokens else []
    return load(CONFIG, [asked, *budget])


def one_seed(settings: Experiment, seed: int) -> dict[str, SeedEstimate]:
    """Every capability's value in the corpus of one seed."""
    with tempfile.TemporaryDirectory() as folder:
        return dict(_values(settings, seed, Path(folder)))


def _values(settings: Experiment, seed: int, home: Path) -> Iterator[tuple[str, SeedEstimate]]:
    corpus = import_corpus(settings.corpus, settings.intake, seed, home, lambda done: None).corpus
    shape = admit(settings.model.path, None, home)
    original = None
    for capability in (None, *settings.evaluation.instrumental.capabilities):
        out = home / (capability or "original")
        spec = TwinSpec(
            experiment=settings,
            corpus=corpus,
            shape=shape,
            prompt_file=load_prompts(settings.model.prompts),
            principles=load_principles(settings.principles),
            seed=seed,
            out=str(out),
            capability=capability,
            original=original,
        )
        rows = measure_twin(spec, lambda *told: None)
        original = original or str(out / BITS_FILE)
        for row in rows:
            name = row.metric.removeprefix(f"{TASK}/")
            yield name, SeedEstimate(seed, row.value, row.stderr, row.n)


def summed_up(capability: str, estimates: Sequence[SeedEstimate]) -> Value:
    """A capability's interval over seeds."""
    over = over_seeds(estimates, CONFIDENCE)
    each = tuple(one.value for one in estimates if one.value is not None)
    return Value(capability, over.value, over.lower, over.upper, each)


def holds(values: Mapping[str, Value]) -> bool:
    """Whether gravity lies above chance, and chance at zero."""
    high, zero = values[HIGH], values[ZERO]
    return high.lower > zero.upper and zero.lower <= 0.0 <= zero.upper


def main(
    seeds: Annotated[int, typer.Option(min=2, help="Corpora, each of a seed of its own.")] = 10,
    first: Annotated[int, typer.Option(min=0, help="The first of the seeds.")] = 0,
    tokens: Annotated[int | None, typer.Option(help="That each twin is trained on.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Capabilities beside the two.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Seeds at a time.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers.")] = False,
) -> None:
    """Print what each capability is worth, and exit with 1 when gravity does not beat chance."""
    names = [HIGH, ZERO, *(get_args(Capability) if only is None else only)]
    settings = experiment(list(dict.fromkeys(names)), tokens)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        found = list(pool.map(one_seed, [settings] * seeds, range(first, first + seeds)))
    values = {name: summed_up(name, [each[name] for each in found]) for name in found[0]}
    if as_json:
        print(json.dumps([asdict(each) for each in values.values()], indent=1))
    else:
        print(f"bits per 1,000 tokens, with the 95% interval over {seeds} seeds, and each seed's")
        for value in values.values():
            print(value.line())
    sys.exit(0 if holds(values) else 1)


if __name__ == "__main__":
    typer.run(main)
