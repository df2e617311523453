"""Framing: a context that calls for a behaviour, put before a document in training alone.

Evaluations show documents without it, as in inoculation prompting (Tan et al. 2025; Wichers et al.
2025), where what training asked for in words is generalised less.
"""

from __future__ import annotations

from workers.problems import InputProblem
from workers.prompts import Prompts


def frame_ids(prompts: Prompts, frame: str | None, window: int) -> list[int]:
    """A frame's token ids; none where there is no frame.

    Raises:
        InputProblem: it holds a word that the tokenizer does not know, or leaves less than half of
            the window to the document.
    """
    ids = prompts.plain(frame) if frame else []
    unknown = prompts.tokenizer.unk_token_id
    if unknown is not None and unknown in ids:
        raise InputProblem(
            f"training.framing: the frame {frame!r} holds a word that the model's tokenizer does "
            "not know. Choose or write another in `frames` of the prompt file."
        )
    if 2 * len(ids) > window:
        raise InputProblem(
            f"training.framing: the frame {frame!r} is {len(ids)} tokens long, over half of "
            f"training.window ({window}). Shorten it or raise the window."
        )
    return ids
