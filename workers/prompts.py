"""Prompts as token ids: the document first, fenced, and unable to speak for anyone else.

The document's text is tokenized on its own with special tokens split, so that a written "</s>" or
"<|im_start|>" stays text. Everything up to the task's own words is the same for every principle's
rating and for the revision of one document, so that an engine keeps one cached prefix for all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from configs.principles import Principles
from configs.prompts import PromptFile
from workers.records import Aim

# Stands where the document goes while a chat template is rendered; no template contains it.
SENTINEL = "\u241fdocument\u241f"
TASK_SENTINEL = "\u241ftask\u241f"
_SENTENCE = re.compile(r"\S(?:.*?[.!?](?=\s|$)|.*)")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Where each sentence of a text begins and ends: at `.`, `!` or `?`, or at the line's end."""
    return [match.span() for match in _SENTENCE.finditer(text)]


def split_sentences(text: str) -> list[str]:
    """Sentences of a text, in order, without the white space between them."""
    return [text[start:stop] for start, stop in sentence_spans(text)]


@dataclass(frozen=True)
class Prompts:
    """Builds every prompt of one model from a prompt file, principles and a tokenizer."""

    file: PromptFile
    principles: Principles
    tokenizer: Any
    """A transformers tokenizer."""

    def rate(self, text: str, principle: str) -> list[int]:
        """Prompt that asks whether a text lives up to a principle."""
        return self.ratings([text], [principle])[0][0]

    def ratings(self, texts: Sequence[str], principles: Sequence[str]) -> list[list[list[int]]]:
        """Prompts that ask whether texts live up to principles: a row a text, each tokenized once.

        Args:
            texts: the documents.
            principles: ids of those asked about, in the order of a row's prompts.
        """
        questions = [self._principle(name).question for name in principles]
        tasks = [self.plain(self.file.rate.replace("{question}", each)) for each in questions]
        numbered = [self._numbered(text) for text in texts]
        return [[self._framed(ids, task) for task in tasks] for ids in self._plain_each(numbered)]

    def revise(
        self, text: str, principles: Sequence[str], mode: str = "edits", aim: Aim = "revise"
    ) -> list[int]:
        """Prompt that asks to write a text anew; see `revisions`."""
        return self.revisions([(text, principles)], mode, aim)[0]

    def revisions(
        self,
        asked: Sequence[tuple[str, Sequence[str]]],
        mode: str = "edits",
        aim: Aim = "revise",
    ) -> list[list[int]]:
        """Prompts that ask to write texts anew: one a text.

        Args:
            asked: each text, and the principles that it falls short of; a paraphrase needs none.
            mode: `edits` for new sentences, `rewrite` for a new text.
            aim: whether it is to live up to the principles, to stay as it is, or to break them.

        Raises:
            ValueError: the prompt file has no words for the aim.
        """
        task = self.file.edits if mode == "edits" else self.file.rewrite
        # Texts are many, and what they fall short of is one of a few sets.
        told: dict[tuple[str, ...], list[int]] = {}
        for principles in {tuple(principles) for _, principles in asked}:
            words = task.replace("{instructions}", self._instructions(principles, aim))
            told[principles] = self.plain(words)
        documents = self._plain_each([self._numbered(text) for text, _ in asked])
        return [
            self._framed(ids, told[tuple(principles)])
            for ids, (_, principles) in zip(documents, asked, strict=True)
        ]

    def _instructions(self, principles: Sequence[str], aim: Aim) -> str:
        if aim == "paraphrase":
            return self.file.neutral
        told = [self._principle(p).revision for p in principles]
        if aim == "invert":
            if self.file.inverted is None:
                raise ValueError("the prompt file has no `inverted`, which the arm `invert` needs")
            told = [self.file.inverted.replace("{instruction}", each) for each in told]
        return " ".join(told)

    def reply(self, answer: str) -> list[int]:
        """An answer as the model should write it, closed by the end of its turn."""
        return [*self.plain(answer), self.end_id]

    def document(self, text: str) -> list[int]:
        """A text as the corpus stage of training shows it: begun, ended, and nothing else."""
        begin = self.tokenizer.bos_token_id
        ids = self.plain(text)
        return [*([begin] if begin is not None else []), *ids, self.tokenizer.eos_token_id]

    @cached_property
    def end_id(self) -> int:
        """The token that ends a reply."""
        return int(self.tokenizer.eos_token_id)

    @cached_property
    def answer_ids(self) -> dict[int, float]:
        """First token of every answer, with the score that the answer stands for.

        Raises:
            ValueError: two answers begin with the same token.
        """
        ids = {self.plain(text)[0]: score for text, score in self.file.answers.items()}
        if len(ids) < len(self.file.answers):
            raise ValueError(
                f"prompts: the answers {', '.join(self.file.answers)} begin with the same token "
                "of this tokenizer; choose answers that differ in their first token"
            )
        return ids

    @cached_property
    def special_texts(self) -> tuple[str, ...]:
        """Texts of special and template tokens, which no revision may contain."""
        fences = {self.file.open.strip(), self.file.close.strip()} - {""}
        return tuple(sorted({*self.tokenizer.all_special_tokens, *fences}))

    def _principle(self, principle: str) -> Any:
        return next(each for each in self.principles.principles if each.id == principle)

    def _numbered(self, text: str) -> str:
        sentences = split_sentences(text)
        return self.file.separator.join(
            self.file.number.replace("{n}", str(n)) + sentence
            for n, sentence in enumerate(sentences, 1)
        )

    def _framed(self, document: Sequence[int], task: Sequence[int]) -> list[int]:
        before, between, after = self._frame
        return [*before, *document, *between, *task, *after]

    @cached_property
    def _frame(self) -> tuple[list[int], list[int], list[int]]:
        """Token ids before the document, between document and task, and after the task."""
        if not self.file.chat:
            begin = self.tokenizer.bos_token_id
            opening = [] if begin is None else [begin]
            before = self._trusted(self.file.system + self.file.open)
            return opening + before, self._trusted(self.file.close), []
        system = [{"role": "system", "content": self.file.system}] if self.file.system else []
        content = f"{self.file.open}{SENTINEL}{self.file.close}{TASK_SENTINEL}"
        rendered = self.tokenizer.apply_chat_template(
            [*system, {"role": "user", "content": content}],
            tokenize=False,
            add_generation_prompt=True,
        )
        before, rest = rendered.split(SENTINEL)
        between, after = rest.split(TASK_SENTINEL)
        return self._trusted(before), self._trusted(between), self._trusted(after)

    def _trusted(self, text: str) -> list[int]:
        """Ids of our own text, in which special tokens count as such."""
        return self.tokenizer.encode(text, add_special_tokens=False) if text else []

    def plain(self, text: str) -> list[int]:
        """Ids of anyone's text, in which a written special token is only letters."""
        return self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)

    def _plain_each(self, texts: Sequence[str]) -> list[list[int]]:
        """The same for many texts, in one call, which costs a third less."""
        if not texts:
            return []
        return self.tokenizer(
            list(texts),
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
        )["input_ids"]
