"""The report: what an experiment found, as data and as one self-contained page."""
