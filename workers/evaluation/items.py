"""Items of evaluations on disk, for comparisons item by item."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from workers.evaluation.measures import Measure
from workers.storage import read_table, write_table

ITEMS_FILE = "items.parquet"
ITEMS = pa.schema(
    [
        pa.field("metric", pa.string(), nullable=False),
        pa.field("variant", pa.string(), nullable=False),
        pa.field("item", pa.int32(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
    ]
)


def write_items(path: Path, measures: list[Measure]) -> None:
    """Keep the items of the measures that have any."""
    held = [
        (m.row.metric, m.row.variant, i, value, weight)
        for m in measures
        for i, (value, weight) in enumerate(zip(m.values, m.weights, strict=True))
    ]
    columns = list(zip(*held, strict=True)) or [()] * len(ITEMS)
    arrays = [pa.array(column, type=f.type) for column, f in zip(columns, ITEMS, strict=True)]
    write_table(path, pa.Table.from_arrays(arrays, schema=ITEMS))


def read_items(path: Path, metric: str, variant: str = "") -> tuple[list[float], list[float]]:
    """Values and weights of a metric's items, in item order; empty where it has none."""
    table = read_table(path)
    own = (pc.field("metric") == metric) & (pc.field("variant") == variant)
    table = table.filter(own).sort_by("item")
    return table["value"].to_pylist(), table["weight"].to_pylist()
