"""What a metric of the record is, in plain words, and in which order metrics are read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from flows.report.metric import Metric
from flows.report.metrics_of_models import OF_MODELS
from flows.report.metrics_of_texts import OF_TEXTS

VARIANTS = {
    "corpus_stage": "before post-training",
    "persistence": "after the same short further training of every arm",
}
UNKNOWN = "This report has no words for it yet; its task says what it is."
METRICS = (*OF_MODELS, *OF_TEXTS)
_EXACT = {metric.key: place for place, metric in enumerate(METRICS) if "*" not in metric.key}
_FAMILIES = [
    (re.compile(re.escape(metric.key).replace(r"\*", "(.+)")), place)
    for place, metric in enumerate(METRICS)
    if "*" in metric.key
]


def describe(key: str) -> Metric:
    """What a metric is; one that is not known is called as the record calls it.

    Args:
        key: name in the record, with `@` and the variant where it has one.
    """
    plain, _, variant = key.partition("@")
    place, ending = _find(plain)
    if place == len(METRICS):
        found = Metric(
            key,
            plain,
            "",
            "neither",
            "other",
            UNKNOWN,
            "see its task",
        )
    else:
        found = METRICS[place]
        found = replace(found, key=key, name=found.name.format(words_of(ending)))
    if not variant:
        return found
    steps = variant.removeprefix("step_")
    said = f"after {steps} steps" if steps != variant else words_of(variant)
    return replace(found, name=f"{found.name}, {VARIANTS.get(variant, said)}")


def in_order(keys: Iterable[str]) -> list[str]:
    """Metrics in the order in which a reader wants them, each variant behind its plain one."""
    return sorted(keys, key=lambda key: (_find(key.partition("@")[0])[0], key))


def words_of(name: str) -> str:
    """A name of the record as words."""
    return name.replace("_", " ").replace("/", ", ")


def _find(plain: str) -> tuple[int, str]:
    """Place in the catalogue, and what stands for the `*`."""
    if plain in _EXACT:
        return _EXACT[plain], ""
    for pattern, place in _FAMILIES:
        if match := pattern.fullmatch(plain):
            return place, match[1]
    return len(METRICS), ""
