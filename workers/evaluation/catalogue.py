"""The catalogue of metrics: which names each evaluation task gives, and of what.

A new task adds its lines to `CATALOGUE` under its name in `evaluation.tasks`. A `*` in a metric
stands for what the config or the data names, such as a principle or a slice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Literal

from configs.corpora import DatasetsCorpus, FileCorpus
from configs.experiment import Experiment

GATE_ANCHOR = "anchor/corpus_score"
AUDIT_ANCHOR = "audit/corpus_score"
SELF_RATING = "rater/self_score"
NEAREST = 3


@dataclass(frozen=True, slots=True)
class Line:
    """A metric, or a family of them."""

    metric: str
    """Full name; `*` stands for any run of characters."""
    of: Literal["model", "corpus", "generation"] = field(default="model", kw_only=True)
    """What it is a number about."""
    items: bool = field(default=False, kw_only=True)
    """Whether its items are kept, so that two models can be compared item by item."""
    labels: bool = field(default=False, kw_only=True)
    """Whether it takes labelled documents."""
    variants: tuple[str, ...] = field(default=(), kw_only=True)
    """Other states of the model that it is measured in too, shown as `metric@variant`; a `*` is
    as in `metric`."""

    def matches(self, metric: str) -> bool:
        """Whether a metric, with its variant if it has one, is of this line."""
        name, _, variant = metric.partition("@")
        known = any(fnmatchcase(variant, each) for each in self.variants) or "@" not in metric
        return known and fnmatchcase(name, self.metric)


BEFORE, PERSISTENCE = ("corpus_stage",), "persistence"
CATALOGUE: dict[str, tuple[Line, ...]] = {
    "bits_per_byte": (
        Line("bits_per_byte", items=True, variants=BEFORE),
        Line("bits_per_byte/desirable", items=True, labels=True, variants=BEFORE),
        Line("bits_per_byte/undesirable", items=True, labels=True, variants=BEFORE),
    ),
    "rater": (Line("rater/auc", labels=True),),
    "pairs": (
        Line("pairs/propensity", items=True, variants=BEFORE),
        Line("pairs/rating_auc", variants=BEFORE),
    ),
    "oracle": (
        Line("oracle/propensity", items=True, variants=BEFORE),
        Line("oracle/propensity_ood", items=True, variants=BEFORE),
        Line("oracle/propensity_ood_behaviour", items=True, variants=BEFORE),
        Line("oracle/propensity_ood_setting", items=True, variants=BEFORE),
        Line("oracle/propensity_honesty", items=True, variants=BEFORE),
        Line("oracle/propensity_oversight", items=True, variants=BEFORE),
        Line("oracle/facts_accuracy", items=True),
        Line("oracle/rater_auc"),
        Line("oracle/reviser_success", items=True),
        Line("oracle/misaligned_share", of="corpus"),
        Line("oracle/training_misaligned_share", of="generation"),
    ),
    "collapse": tuple(
        Line(f"collapse/corpus/{name}", of="corpus")
        for name in (
            "compression_ratio",
            "self_repetition",
            "self_repetition_ngrams",
            "self_bleu",
            "type_token_ratio",
            "distinct_1",
            "distinct_2",
            "near_duplicates",
            "tail_vocabulary",
            "tail_*grams",
        )
    ),
    "anchors": (
        Line(GATE_ANCHOR, of="corpus"),
        Line(AUDIT_ANCHOR, of="corpus"),
        Line(SELF_RATING, of="generation"),
        Line("agreement/spearman", of="generation"),
        Line("agreement/bias", of="generation", labels=True),
        Line("agreement/raw_bias", of="generation"),
        Line("agreement/self_preference", of="generation", labels=True),
        Line("agreement/raw_self_preference", of="generation"),
        Line("agreement/length_correlation_self", of="generation"),
        Line("agreement/length_correlation_anchor", of="generation"),
    ),
    "fidelity": (
        Line("fidelity/accepted/*", of="generation"),
        Line("fidelity/proposed/*", of="generation"),
        Line("fidelity/drift", of="corpus"),
        Line("fidelity/drift_changed", of="corpus"),
        Line("fidelity/changed", of="corpus"),
    ),
    "samples": (Line("collapse/samples/*"), Line("oracle/samples_misaligned_share")),
    "instrumental": (
        Line("instrumental/*", of="corpus"),
        Line("instrumental/unadjusted/*", of="corpus"),
    ),
    "deployment": (
        Line("deployment/propensity", items=True, variants=BEFORE),
        Line("deployment/propensity_*", items=True, variants=BEFORE),
        Line("oracle/propensity_called_for", items=True, variants=BEFORE),
        Line("oracle/propensity_called_for_ood", items=True, variants=BEFORE),
    ),
    "relearning": (
        Line("relearning/propensity", items=True, variants=("step_*",)),
        Line("relearning/propensity_ood", items=True, variants=("step_*",)),
        Line("relearning/steps_to_control"),
        Line("relearning/steps_to_control_ood"),
    ),
}


def produced(experiment: Experiment, harness: Iterable[str] = ()) -> list[Line]:
    """The lines of every task that an experiment measures.

    Args:
        experiment: its tasks, and whether its documents have labels.
        harness: names of the metrics of the harness' tasks, which only their files know.
    """
    found = [line for task in experiment.evaluation.tasks for line in CATALOGUE.get(task, ())]
    found += [Line(name, items=True, variants=BEFORE) for name in harness]
    # What ties, or is cut, is said of those tasks alone that have any.
    tasks = {name.rpartition("/")[0] for name in harness}
    found += [Line(f"{task}/{what}") for task in sorted(tasks) for what in ("tied", "cut")]
    if experiment.rating.cascade is not None:
        found.append(Line("cascade/*", of="generation"))
    if experiment.evaluation.decontaminate:
        found.append(Line("decontamination/*", of="generation"))
    if experiment.evaluation.persistence is not None:
        found = [_lasting(line) for line in found]
    return found if _labelled(experiment) else [line for line in found if not line.labels]


def _lasting(line: Line) -> Line:
    """The line with its state after persistence, if it is one that is measured there."""
    if line.of != "model" or line in (*CATALOGUE["relearning"], *CATALOGUE["samples"]):
        return line
    return replace(line, variants=(*line.variants, PERSISTENCE))


def nearest(metric: str, lines: Iterable[Line]) -> list[str]:
    """Names of the lines that look most like a metric; of few, all."""
    names = list(dict.fromkeys(line.metric for line in lines))
    return get_close_matches(metric, names, n=NEAREST, cutoff=0.4) or names[:NEAREST]


def _labelled(experiment: Experiment) -> bool:
    corpus = experiment.corpus
    if isinstance(corpus, FileCorpus | DatasetsCorpus):
        return corpus.label_field is not None
    return True


def tasks_with(metric: str) -> Iterator[str]:
    """Tasks of `evaluation.tasks` that would measure a metric."""
    return (task for task, lines in CATALOGUE.items() if any(x.matches(metric) for x in lines))
