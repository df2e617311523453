"""Corpora: sources, intake, and the immutable corpus versions that come of them."""
