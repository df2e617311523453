"""Prompt files: the words around a document, kept apart from code because they are identity."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from configs.fingerprint import digest_of
from configs.loading import ConfigProblem, read_yaml, shipped_file, validate
from configs.section import Section


class PromptFile(Section):
    """Everything that a model reads beside the document itself.

    The order is fixed (system, fenced document, task), so that every question about a document
    shares one cached prefix.
    """

    version: Annotated[int, Field(ge=1)]
    """Raised whenever a text changes."""
    chat: bool
    """Render through the tokenizer's chat template."""
    system: str = ""
    """System text; put before the document where there is no chat template."""
    open: str
    """Fence before the document."""
    close: str
    """Fence after the document."""
    number: str = "[{n}] "
    """Put before each sentence, so that a reply can name it."""
    separator: str = " "
    """Put between numbered sentences."""
    rate: str
    """Task text of rating; `{question}` is the principle's."""
    answers: dict[str, float]
    """Answer texts and the score each stands for; the first token of each must differ."""
    edits: str
    """Task text of revising by sentence; `{instructions}` are the failing principles'."""
    rewrite: str
    """Task text of rewriting whole; `{instructions}` are the failing principles'."""
    neutral: str = "Say the same in other words, and leave every statement as it is."
    """Instruction of the arm `paraphrase`, in the place of the principles'."""
    inverted: str | None = None
    """Instruction of the arm `invert`; `{instruction}` is a principle's."""
    nothing: str = "none"
    """The reply that means: nothing to change."""
    refusals: tuple[str, ...] = ()
    """Openings of a reply that talks about the task instead of doing it (lower case)."""
    names: tuple[str, ...] = ()
    """Words that count as names although they are not capitalised."""
    frames: dict[str, str] = Field(default_factory=dict)
    """Contexts by name for `training.framing`, put before a document in training alone."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if "{question}" not in self.rate:
            raise ValueError("rate: must contain {question}")
        for field in ("edits", "rewrite"):
            if "{instructions}" not in getattr(self, field):
                raise ValueError(f"{field}: must contain {{instructions}}")
        if self.inverted is not None and "{instruction}" not in self.inverted:
            raise ValueError("inverted: must contain {instruction}")
        if "{n}" not in self.number:
            raise ValueError("number: must contain {n}")
        if len(self.answers) < 2 or not all(0 <= value <= 1 for value in self.answers.values()):
            raise ValueError("answers: at least two, each with a score in [0, 1]")
        return self

    @property
    def digest(self) -> str:
        """Hash of every text that a model is asked with; part of identity.

        Frames are not among them: the one that training uses is in its recipe.
        """
        return digest_of({name: each for name, each in self if name != "frames"})

    def frame(self, name: str | None) -> str | None:
        """Text of a frame by its name; None for none.

        Raises:
            ConfigProblem: there is no such frame.
        """
        if name is None:
            return None
        if name not in self.frames:
            raise ConfigProblem(
                f"training.framing: the prompt file has no frame {name!r} in `frames`; choose of "
                f"{', '.join(self.frames) or 'none: it has no frame at all'}, or null"
            )
        return self.frames[name]


def load_prompts(name: str) -> PromptFile:
    """Load a shipped prompt file by name, or any by path.

    Raises:
        ConfigProblem: no such file, or a field is missing or wrong.
    """
    path = shipped_file("prompts", name)
    return validate(PromptFile, read_yaml(path), where=str(path))
