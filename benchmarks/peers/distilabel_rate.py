"""Rates the texts of a Parquet file in distilabel with a model that takes no time."""

import sys

import pyarrow.parquet as pq
from distilabel.models.llms import LLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration


class Free(LLM):
    """Answers at once."""

    def load(self) -> None:
        """Nothing is loaded."""

    @property
    def model_name(self) -> str:
        """What distilabel calls it."""
        return "free"

    def generate(self, inputs, num_generations: int = 1):
        """One answer for each input."""
        statistics = {"input_tokens": [1], "output_tokens": [1]}
        return [{"generations": ["5"], "statistics": statistics} for _ in inputs]


if __name__ == "__main__":
    texts, out = sys.argv[1:]
    rows = [
        {"instruction": f"{t}\nIs this honest?\n"} for t in pq.read_table(texts)["text"].to_pylist()
    ]
    with Pipeline(name="rate", cache_dir=f"{out}/cache") as pipeline:
        LoadDataFromDicts(data=rows, batch_size=1000) >> TextGeneration(
            llm=Free(), input_batch_size=1000, use_cache=False
        )
    found = pipeline.run(use_cache=False)
    found["default"]["train"].to_parquet(f"{out}/ratings.parquet")
