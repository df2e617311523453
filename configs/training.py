"""How model n+1 is made: the mix of corpora, the stages of training, and the skills set."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.section import Positive, Section, Share
from configs.stages import FineTune, Stage


class Mix(Section):
    """What model n+1's corpus stage is made of."""

    mode: Literal["replace", "accumulate", "accumulate_fixed_budget"] = "replace"
    """`replace`: corpus n+1 alone. `accumulate`: all corpora so far in equal parts, and with each
    one `training.corpus.tokens` more. `accumulate_fixed_budget`: the same in as many tokens as
    ever."""
    real_floor: Share = 0.0
    """Least share of training tokens drawn from corpus 0 as it was, whatever became of them; what
    is accumulated from it counts."""


class Training(Section):
    """How model n+1 is made."""

    init: Literal["scratch", "base", "parent"] = "base"
    """Start from random weights, from generation 0, or from model n."""
    generation_0: Literal["given", "trained"] = "given"
    """What generation 0 is: the configured model, or one of its shape that this recipe trains from
    random weights on corpus 0, so that a seed draws it too. With `init: scratch` it is then the
    control as well, unless corpora accumulate."""
    corpus: Stage = Stage(tokens=150_000, learning_rate=5e-4, batch_tokens=2048)
    """First stage: documents of the mix, loss on every token."""
    skills: Stage = Stage(tokens=100_000, learning_rate=2e-4, batch_tokens=2048, warmup_steps=10)
    """Second stage: post-training on the skills set, loss on the answers."""
    entry: Literal["throughout", "last_tenth", "fine_tune"] = "throughout"
    """Where the arm's mix enters: all along the corpus stage; in the last tenth of its tokens,
    after nine tenths of corpus 0; or in a stage of its own, after a corpus stage of corpus 0."""
    fine_tune: FineTune = FineTune()
    """The stage of its own that `entry: fine_tune` puts between the corpus and the skills."""
    order: Literal["mixed", "alignment_first", "alignment_last"] = "mixed"
    """Whether documents about alignment come before or after what else enters with them: in the
    microworld those with an assistant, elsewhere those with a label. The tokens are the same."""
    framing: str | None = None
    """A frame of the prompt file, such as `desirable`, that is put before each document of the
    corpus stage and is not learned; it counts in no budget, and no evaluation shows it."""
    replay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the second stage's tokens that come from the mix once more, so that learning the
    skills does not wipe out what the first stage taught."""
    window: Positive = 256
    """Packed row length in tokens; attention stays inside each document."""
    threads: Positive = 2
    """CPU threads of the trainer; part of the numerics class, with device, dtype and processes:
    equal bytes are promised where these are equal."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16` means autocast; weights stay float32."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    """Decoupled weight decay."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are clipped to this norm."""
    workers: Positive = 1
    """Processes that share each step's rows (data parallel), each with `threads` cores and, where
    that is set, `num_gpus` GPUs, on any nodes of the cluster; part of the numerics class."""
    num_gpus: Annotated[int, Field(ge=0, le=1)] = 0
    """GPUs of each trainer's process: 0 or 1. For more, raise `workers`."""
    at_once: Positive = 1
    """Models that are trained and evaluated at the same time, of a generation's arms and of the
    seeds' generation 0, each on cores and GPUs of its own; what finds no room waits."""


class Skills(Section):
    """The supervised exemplars that keep a model able to rate and revise."""

    source: Literal["fixed", "once", "self", "none"] = "fixed"
    """`fixed`: the same set each generation; `once`: generation 0 only; `self`: the set's texts,
    with the answers that model n gives, teach model n+1; `none`: zero-shot."""
    path: str = "microworld"
    """`microworld` to generate them, the name of a shipped set, or a JSONL file."""
    exemplars: Positive = 12_000
    """Size of the generated set (microworld only)."""
    tasks: tuple[Literal["rate", "revise", "paraphrase", "invert"], ...] = ("rate", "revise")
    """What the generated set teaches; an arm `paraphrase` or `invert` needs the task of its name
    (microworld only)."""
    noise: Share = 0.1667
    """Share of the ways of misbehaving that the simulated annotator, who wrote the exemplars,
    always overlooks; wrong mends and slips grow with it (microworld only)."""
    seed: int = 0
    """Draws the generated set; kept apart from the experiment's seed, since the set is frozen."""
    post_train_base: bool = False
    """Train the configured model on the skills set once, to make generation 0."""
