"""Rewrites the texts of a Parquet file in distilabel; a model at an address answers."""

import os
import sys
from multiprocessing.connection import Client
from typing import Any

import pyarrow.parquet as pq
from distilabel.models.llms import LLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration
from pydantic import PrivateAttr

ADDRESS, KEY = "PALIMPSEST_BENCH_ADDRESS", "PALIMPSEST_BENCH_KEY"


class Remote(LLM):
    """Hands batches to the process that holds the weights, and takes its replies."""

    _line: Any = PrivateAttr(None)

    def load(self) -> None:
        """The weights are loaded already, elsewhere: their start is nobody's time here."""
        super().load()
        host, port = os.environ[ADDRESS].rsplit(":", 1)
        self._line = Client((host, int(port)), authkey=os.environ[KEY].encode())

    @property
    def model_name(self) -> str:
        """What distilabel calls it."""
        return "benchmark"

    def generate(self, inputs, num_generations: int = 1):
        """One reply for each input."""
        self._line.send([chat[-1]["content"] for chat in inputs])
        statistics = {"input_tokens": [1], "output_tokens": [1]}
        return [{"generations": [text], "statistics": statistics} for text in self._line.recv()]


if __name__ == "__main__":
    texts, out = sys.argv[1:]
    rows = [{"instruction": text} for text in pq.read_table(texts)["text"].to_pylist()]
    with Pipeline(name="rewrite", cache_dir=f"{out}/cache") as pipeline:
        LoadDataFromDicts(data=rows, batch_size=1000) >> TextGeneration(
            llm=Remote(), input_batch_size=1000, use_cache=False
        )
    found = pipeline.run(use_cache=False)
    found["default"]["train"].to_parquet(f"{out}/rewritten.parquet")
