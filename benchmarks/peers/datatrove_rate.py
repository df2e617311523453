"""Rates the texts of a Parquet file in datatrove with a model that takes no time."""

import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter


class Rate(PipelineStep):
    """Puts a question to the model, and its answer into the document's metadata."""

    name = "rate"

    def run(self, data, rank: int = 0, world_size: int = 1):
        """Rate every document."""
        for document in data:
            with self.track_time():
                question = f"{document.text}\nIs this honest?\n"
                document.metadata["honesty"] = 0.5 if question else None
            yield document


if __name__ == "__main__":
    texts, out = Path(sys.argv[1]), sys.argv[2]
    LocalPipelineExecutor(
        pipeline=[
            ParquetReader(str(texts.parent), glob_pattern=texts.name),
            Rate(),
            ParquetWriter(f"{out}/ratings"),
        ],
        tasks=1,
        logging_dir=f"{out}/logs",
    ).run()
