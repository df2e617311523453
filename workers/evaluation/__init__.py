"""Evaluations: numbers about checkpoints and corpora. Nothing here steers rating or revising."""
