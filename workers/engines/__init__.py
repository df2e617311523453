"""Engines: what answers prompts. `vllm` or `transformers` for work, scripted for unit tests."""
