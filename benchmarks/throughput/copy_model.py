"""The model of the rate-and-revise benchmark: it rates, edits sentences, and rewrites whole texts.

The shipped generation 0 goes on with four kinds of rows in turn: sentences of words drawn blindly,
to be copied as they are, for with real ones it learns what is usual in its world instead of what
stands there; whole texts, copied with what is wrong put right; ratings; and edits. All are answered
without a blind spot. One kind after another was tried: while it learned to copy it forgot how to
rate. Some ten minutes on one thread; the result stays in `.bench/` and out of version control.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from configs.principles import load_principles
from configs.prompts import load_prompts
from configs.stages import Stage
from configs.training import Training
from workers.microworld.build import SHIPPED
from workers.microworld.generator import Story, compose
from workers.microworld.skills import skills_exemplars
from workers.microworld.tokenizer import build_tokenizer
from workers.microworld.world import PRINCIPLES, SKILLED_THINGS, Draw, WorldParams
from workers.optimising import StagePlan, run_stage, settled
from workers.packing import Row, reply_row
from workers.prompts import Prompts
from workers.records import Exemplar

SEED = 6_000_000
"""Far from those of experiments."""
WORDS, SENTENCES = (3, 9), (2, 6)
"""Fewest and most of a text that is only copied."""
STAGES = (
    Stage(tokens=3_200_000, learning_rate=1.5e-3, batch_tokens=2048, warmup_steps=20),
    Stage(tokens=2_400_000, learning_rate=1e-3, batch_tokens=2048, warmup_steps=20, loss="rows"),
)
"""A mean over tokens teaches to copy. One over rows, afterwards, sharpens the ratings, for each is
one token among fifty of a text."""
RECIPE = f"in turn {STAGES!r} {WORDS} {SENTENCES} seed {SEED}"


def benchmark_prompts() -> Prompts:
    """The microworld's, which say `write honesty oversight :` for a whole text."""
    return Prompts(load_prompts("microworld"), load_principles("microworld"), build_tokenizer())


def copy_model(folder: Path) -> Path:
    """The trained checkpoint; trained now where the folder has none of this recipe."""
    made = folder / ".trained"
    if made.exists() and made.read_text(encoding="utf-8") == RECIPE:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    print(f"training the benchmark's model into {folder}", flush=True)
    model = AutoModelForCausalLM.from_pretrained(
        SHIPPED, local_files_only=True, trust_remote_code=False, dtype=torch.float32
    )
    rows = _in_turn(benchmark_prompts())
    with settled(1):
        for stage in STAGES:
            taken = list(_within(rows, stage.tokens))
            tokens = sum(len(row.input_ids) for row in taken)
            plan = StagePlan("skills", stage, tokens, lambda taken=taken: iter(taken))
            run_stage(model, plan, Training(window=240, threads=1), SEED, _say)
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    made.write_text(RECIPE, encoding="utf-8")
    return folder


def _say(stage: str, done: int, total: int, _: object) -> None:
    if done % 400_000 < 2_048 or done == total:
        print(f"  {stage}: {done:,} of {total:,} tokens", flush=True)


def _within(rows: Iterator[Row], tokens: int) -> Iterator[Row]:
    """As many rows as the budget holds."""
    for row in rows:
        tokens -= len(row.input_ids)
        if tokens < 0:
            return
        yield row


def _copying(prompts: Prompts) -> Iterator[Row]:
    """Sentences of words drawn blindly, to be written as they are."""
    known = prompts.tokenizer.get_vocab()
    words = sorted(each for each in known if each.isalpha())
    draw = random.Random(SEED)
    while True:
        text = " ".join(
            " ".join(draw.choices(words, k=draw.randint(*WORDS))) + " ."
            for _ in range(draw.randint(*SENTENCES))
        )
        asked = prompts.revise(text, PRINCIPLES, "rewrite")
        yield reply_row(asked, prompts.reply(text))


def _in_turn(prompts: Prompts) -> Iterator[Row]:
    """Copying, rewriting, a rating and an edit, and again."""
    exemplars = skills_exemplars(WorldParams(skill_noise=0.0), SEED, STAGES[0].tokens)
    ratings, edits = _answered(prompts, exemplars)
    for index, copied in enumerate(_copying(prompts)):
        yield copied
        yield _rewriting(prompts, index)
        yield next(ratings)
        yield next(edits)


def _answered(
    prompts: Prompts, exemplars: Iterator[Exemplar]
) -> tuple[Iterator[Row], Iterator[Row]]:
    """Exemplars as rows: the ratings, and the edits."""
    first, second = itertools.tee(exemplars)
    ratings = (
        reply_row(prompts.rate(each.text, each.principles[0]), prompts.reply(each.answer))
        for each in first
        if each.task == "rate"
    )
    edits = (
        reply_row(prompts.revise(each.text, each.principles), prompts.reply(each.answer))
        for each in second
        if each.task == "revise"
    )
    return ratings, edits


def _rewriting(prompts: Prompts, index: int) -> Row:
    draw = Draw("benchmark rewriting", SEED, index)
    story = compose(WorldParams(0.5, 0.05, 0.55), draw, "skills", SKILLED_THINGS, SKILLED_THINGS)
    asked = prompts.revise(story.text, PRINCIPLES, "rewrite")
    return reply_row(asked, prompts.reply(_mended(story)))


def _mended(story: Story) -> str:
    sentences = list(story.sentences)
    for episode in story.episodes:
        sentences[episode.act - 1] = story.act_sentence(episode, aligned=True)
    return " ".join(sentences)
