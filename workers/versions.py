"""Versions of our own algorithms: raised whenever equal inputs would give other output.

They are part of every recipe, so that a changed algorithm never reuses what the old one made.
"""

ALGORITHM_VERSIONS = {
    "import": "1",
    "rate": "1",
    "revise": "1",
    "accept": "1",
    "label": "1",
    "assemble": "1",
    "train": "2",
    "evaluate": "1",
}
