"""What a mix is made of: corpora, shares, order, and the digest that tells mixes apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from configs.fingerprint import digest_of
from configs.principles import Principles
from configs.prompts import PromptFile
from workers.checkpoints import CheckpointRef
from workers.corpora.store import CorpusRef

Order = Literal["mixed", "alignment_first", "alignment_last"]


@dataclass(frozen=True)
class MixSpec:
    """What a mix is made of."""

    corpus: CorpusRef
    """Corpus n+1, treated by the arm."""
    corpus0: CorpusRef
    """Corpus 0, whose untouched documents fill the real floor."""
    excluded: frozenset[str]
    """Ids of quarantined documents, which leave every arm."""
    tokens: int
    """Number of tokens, exactly."""
    real_floor: float
    """Share of the tokens that come from corpus 0."""
    window: int
    """Longest row, in tokens; a longer document is cut into consecutive rows."""
    seed: int
    checkpoint: CheckpointRef
    """Whose tokenizer makes the tokens."""
    prompt_file: PromptFile
    principles: Principles
    out: str
    """Folder to make. A whole mix of the same that stands there is taken, any other replaced."""
    earlier: tuple[CorpusRef, ...] = ()
    """Corpora between corpus 0 and the newest, the latest first, where they are accumulated."""
    real_before: int = 0
    """So many of the tokens are corpus 0 as it was, and come before all the rest."""
    order: Order = "mixed"
    """Where documents about alignment stand among those that enter with them."""
    told_by: Literal["label", "assistant"] = "label"
    """What they are told by: a label, or an assistant of the microworld in them."""
    frame: str | None = None
    """Text that training puts before each row; the rows leave room for it in the window."""

    @property
    def digest(self) -> str:
        """What tells mixes of other content apart; where they stand does not."""
        made_of = (self.corpus, self.corpus0, self.checkpoint, *self.earlier)
        texts = (self.prompt_file.digest, self.principles.digest)
        numbers = (self.tokens, self.real_floor, self.window, self.seed)
        told = [[each.id for each in made_of], sorted(self.excluded), list(texts), list(numbers)]
        later = (self.real_before, self.order, self.told_by, self.frame)
        return digest_of(told if later == (0, "mixed", "label", None) else [*told, list(later)])

    @property
    def phases(self) -> list[list[Pool]]:
        """Pools that are drawn from at the same time, one phase after another."""
        late = self.tokens - self.real_before
        real = round(self.real_floor * late)
        rest = (self.corpus, *self.earlier)
        # Each begins where the one before it ended, so that no token is lost to rounding.
        bounds = [real + (late - real) * i // len(rest) for i in range(len(rest) + 1)]
        found = [Pool(self.corpus0, True, 0, real)]
        for back, corpus in enumerate(rest):
            found.append(Pool(corpus, False, back, bounds[back + 1] - bounds[back]))
        phases = [[Pool(self.corpus0, True, 0, self.real_before)], found]
        kept = [[pool for pool in pools if pool.tokens] for pools in phases]
        return [pools for pools in kept if pools]

    @property
    def pools(self) -> list[Pool]:
        """Where the tokens come from over all phases; their shares add up to `tokens`."""
        found: dict[str, Pool] = {}
        for pool in (pool for pools in self.phases for pool in pools):
            before = found.get(pool.name)
            tokens = pool.tokens + (before.tokens if before else 0)
            found[pool.name] = replace(pool, tokens=tokens)
        return list(found.values())


@dataclass(frozen=True, slots=True)
class Pool:
    """A corpus with the number of tokens that a mix draws from it."""

    corpus: CorpusRef
    real: bool
    """Whether it is corpus 0, as it was."""
    back: int
    """How many corpora it is behind the newest; 0 for corpus 0."""
    tokens: int

    @property
    def name(self) -> str:
        """What tells the pools of a mix apart."""
        return pool_name(self.real, self.back)


def pool_name(real: bool, back: int) -> str:
    """Name of the pool that a row was drawn from."""
    if real:
        return "real"
    return f"corpus-{back}" if back else "corpus"
