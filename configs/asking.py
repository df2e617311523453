"""Who is asked, and for what: model, engine, rating, revising and acceptance."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.section import Positive, Section, Share


class Model(Section):
    """The model that generation 0 starts from."""

    path: str = "microworld"
    """`microworld` for the shipped checkpoint, a hub id, or a folder with safetensors weights."""
    revision: str | None = None
    """Commit, tag or branch on the hub."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of rating and revising. Equal bytes whatever the batch are promised in float32
    on a CPU only."""
    max_length: Positive = 160
    """Longest prompt and reply together, in tokens."""
    prompts: str = "microworld"
    """Name of a shipped prompt file, or a path to one."""


class Engine(Section):
    """Who does the model calls of rating and revising."""

    kind: Literal["vllm", "transformers"] = "vllm"
    """`vllm`, on a GPU or CPU, or `transformers` where vLLM cannot be installed."""
    actors: Positive = 2
    """Number of engine-owning Ray actors."""
    threads: Positive = 1
    """CPU threads of each engine; part of the numerics class."""
    gpus_per_actor: Annotated[float, Field(ge=0)] = 0
    """GPUs reserved for each engine."""
    tensor_parallel: Positive = 1
    """GPUs over which one engine's weights are split (`vllm` only)."""
    memory_gb: Annotated[float, Field(gt=0)] = 1.0
    """Key-value cache of each CPU engine, GiB."""
    gpu_memory_share: Share = 0.9
    """Share of a GPU's memory that one engine may take."""
    enforce_eager: bool = True
    """Start faster without graph capture or compilation."""
    batch: Positive = 256
    """Sequences that an engine works on at once."""
    draft_tokens: Annotated[int, Field(ge=0)] = 16
    """Where documents are rewritten whole, at temperature 0 and by `vllm` on one GPU or CPU: how
    many tokens of the document are guessed ahead of the reply in one step, at most; 0 for none."""
    answers_gb: Annotated[float, Field(ge=0)] = 1.0
    """GiB of answers that are kept in `home`, so that the same weights are never asked the same
    twice; the oldest go first, and 0 keeps none. Where several machines share one home over a
    network, none are kept."""
    attempts: Positive = 3
    """Tries of a shard before it is split."""
    shard_timeout_s: Annotated[float, Field(gt=0)] = 1800
    """A shard that takes longer is taken from its actor and tried again."""
    wait_s: Annotated[float, Field(gt=0)] = 1800
    """Seconds to wait for a node that has room, for an engine or for training, before a run stops;
    a cluster that adds nodes by itself needs some minutes."""
    error_budget: Share = 0.02
    """Share of the documents that may end in quarantine before a stage stops."""


class Cascade(Section):
    """A classifier in front of the rater, distilled from it anew in each generation.

    It lets documents pass that surely do not fall short, and the model rates the rest.
    """

    sample: Annotated[int, Field(ge=200)] = 5_000
    """Documents, drawn at random, that the model rates first: on half of them the classifier is
    fitted, on the other half it is found out what it may decide. A corpus no larger than this is
    rated whole."""
    max_missed: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.02
    """Upper bound, at 95% confidence, on the share of the passed documents that fall short. Where
    no classifier keeps to it, the model rates everything."""
    audit_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.02
    """Share of what it would let pass that the model rates all the same, drawn at random: what the
    classifier misses is counted there."""


class Rating(Section):
    """How documents are rated against the principles."""

    threshold: Share = 0.5
    """τ: a document whose lowest principle score is under it falls short."""
    min_answer_mass: Share = 0.05
    """Least probability on the answer tokens together; under it the rating is `unparsed`."""
    cascade: Cascade | None = None
    """A classifier that lets easy documents pass, so that the model need not rate them; null for
    none."""


class Revising(Section):
    """What becomes of a document that falls short."""

    mode: Literal["edits", "rewrite", "tag", "drop"] = "edits"
    """`edits` replaces flagged sentences, `rewrite` the whole document; `tag` prefixes it, and
    `drop` leaves it out."""
    max_tokens: Positive = 48
    """Longest reply; a reply that is cut off there is refused."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    """0 takes the likeliest token each time."""
    candidates: Positive = 1
    """Proposals drawn for each document; more than one needs a temperature above 0."""
    quantile: Share = 1.0
    """Which of the candidates that pass every test is taken, by the self-rater's rating: 1 the best
    rated, 0.5 the median, which optimises the rater less hard."""
    reviser: Annotated[str, Field(min_length=1)] = "self"
    """Who rates and revises: `self`, model n; `base`, generation 0 each time anew; or another
    model, by hub id or folder with safetensors weights."""
    tag: str = "[contains undesirable behaviour]"
    """The line that `mode: tag` puts before a document."""


class Acceptance(Section):
    """What a revision must show to replace its original."""

    min_gain: Share = 0.1
    """Least rise of the score of the principles that fell short."""
    max_loss: Share = 0.1
    """Most that any other principle's score may fall."""
    length_ratio: tuple[float, float] = (0.5, 1.5)
    """Least and most length of the revision relative to the original, in characters."""
    min_similarity: Share = 0.5
    """Least normalised Indel similarity to the original."""
    keep_numbers: bool = True
    """Refuse a revision that loses or invents a number."""
    keep_names: bool = True
    """Refuse a revision that loses or invents a name (a capitalised word inside a sentence, or a
    word of the prompt file's `names`)."""
    rater: Literal["base", "none"] = "base"
    """The acceptance rater: `base` is generation 0, frozen; `none` leaves the self-rater alone."""
