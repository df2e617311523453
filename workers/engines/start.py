"""Starting the engine that a config names, and no other."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from workers.engines.interface import Engine, EngineSpec
from workers.problems import InputProblem


def check_engine_installed(kind: str) -> None:
    """Refuse an engine that is not installed.

    Raises:
        InputProblem: vLLM is asked for and missing.
    """
    if kind == "vllm" and importlib.util.find_spec("vllm") is None:
        raise InputProblem(
            "engine.kind: vllm is not installed here. Install one of its builds (on a CPU: "
            "`pip install --no-deps -r requirements/cpu.txt`; with a GPU: requirements/gpu.txt), "
            "or choose the slower transformers engine with --set engine.kind=transformers. It is "
            "never chosen for you, because results of different engines are different results."
        )


def start_engine(spec: EngineSpec, cores: Sequence[int] = ()) -> Engine:
    """Load a checkpoint into the engine of the spec's kind, bound to these CPU cores.

    Raises:
        InputProblem: the engine is not installed, or this node cannot have the checkpoint.
        WorkProblem: the store cannot be read, or the disk is full.
    """
    check_engine_installed(spec.kind)
    spec.store.fetch_folder(spec.checkpoint_uri)
    if spec.kind == "vllm":
        from workers.engines.vllm_engine import VllmEngine, prepare_environment

        prepare_environment(spec, cores)
        return _remembering(VllmEngine(spec), spec)
    from workers.engines.transformers_engine import TransformersEngine

    return _remembering(TransformersEngine(spec), spec)


def _remembering(engine: Engine, spec: EngineSpec) -> Engine:
    """The engine, asked only what these weights were not asked before on this node."""
    if not spec.answers:
        return engine
    from workers.engines.answers import Answers, RememberingEngine
    from workers.nodes import device

    if not spec.checkpoint_id:
        raise ValueError("answers are kept under the hash of the weights, and there is none")
    depends_on = (spec.checkpoint_id, spec.kind, engine.version, spec.dtype, spec.threads,
                  spec.tensor_parallel, device())  # fmt: skip
    answers = Answers(Path(spec.answers), round(spec.answers_gb * 2**30))
    return RememberingEngine(engine, answers, depends_on)
