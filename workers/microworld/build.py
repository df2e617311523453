"""Rebuilds generation 0, the checkpoint that the microworld ships, from nothing.

    python -m workers.microworld.build [--out FOLDER] [--steps-factor 2]

The recipe is fixed: seeds, one thread, float32. A first stage reads plain documents, a second goes
on with them and learns rating and revising from the noisy skills set. Plain documents first teach
what the words are; one mix from the start took about five times as many steps. The prompts are the
loop's own, and nothing here knows the truth of a document.
"""

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.microworld.generator import generate_documents
from workers.microworld.skills import skills_exemplars
from workers.microworld.tokenizer import BEGIN, END, MODEL_MAX_LENGTH, PAD, build_tokenizer
from workers.microworld.world import WorldParams
from workers.prompts import Prompts
from workers.records import Exemplar

SHIPPED = Path(__file__).parent / "generation0"
# Far from the seeds of experiments, so that none of them revises documents that this model read.
CORPUS_SEED = 1_000_000
DOCUMENTS, EXEMPLARS, SKILLS_SEED = 20_000, 12_000, 0
WARMUP_STEPS, WEIGHT_DECAY, MAX_GRAD_NORM, LAST_RATE = 50, 0.1, 1.0, 0.1
IGNORED = -100

Row = tuple[list[int], list[int]]
"""Token ids, and as many labels: the ids again, or IGNORED where there is nothing to learn."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: how many steps of how many rows, the plain documents among them, peak rate."""

    steps: int
    plain_rows: int
    skills_rows: int
    learning_rate: float
    seed: int


STAGES = (Stage(2400, 64, 0, 4e-3, seed=0), Stage(7200, 8, 24, 2e-3, seed=1))


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Make a Llama of 420,000 random weights; 32 is the least head size that vLLM runs on a CPU."""
    torch.manual_seed(0)
    vocabulary = tokenizer.get_vocab()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        head_dim=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=256,
        max_position_embeddings=MODEL_MAX_LENGTH,
        tie_word_embeddings=False,
        # With the usual 0.02 the kinds of things were not learned in the same steps.
        initializer_range=0.06,
        pad_token_id=vocabulary[PAD],
        bos_token_id=vocabulary[BEGIN],
        eos_token_id=vocabulary[END],
    )
    return LlamaForCausalLM(config)


def plain_row(prompts: Prompts, text: str) -> Row:
    """Return a document to learn every token of."""
    ids = prompts.document(text)
    return ids, ids


def skills_row(prompts: Prompts, exemplar: Exemplar) -> Row:
    """Return a task to learn the answer of."""
    if exemplar.task == "rate":
        prompt = prompts.rate(exemplar.text, exemplar.principles[0])
    else:
        prompt = prompts.revise(exemplar.text, exemplar.principles, aim=exemplar.task)
    answer = prompts.reply(exemplar.answer)
    return prompt + answer, [IGNORED] * len(prompt) + answer


def batches(plain: Sequence[Row], skilled: Sequence[Row], stage: Stage) -> Iterator[list[Row]]:
    """Yield a stage's batches, each pass over the rows in a fresh order."""
    shuffler = random.Random(stage.seed)

    def endless(rows: Sequence[Row]) -> Iterator[Row]:
        while True:
            order = list(rows)
            shuffler.shuffle(order)
            yield from order

    plain_rows, skills_rows = endless(plain), endless(skilled)
    for _ in range(stage.steps):
        batch = [next(plain_rows) for _ in range(stage.plain_rows)]
        yield batch + [next(skills_rows) for _ in range(stage.skills_rows)]


def padded(rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and labels as matrices, padded on the right where no token looks (any id does)."""
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in rows])
    return ids, torch.tensor([own + [IGNORED] * (width - len(own)) for _, own in rows])


def learn(model: LlamaForCausalLM, rows: Sequence[Row]) -> float:
    """Add the gradients of a batch's mean loss for each labelled token, and return that loss."""
    # Two halves by length: a fifth faster than one batch padded to its longest row.
    rows, half = sorted(rows, key=lambda row: len(row[0])), len(rows) // 2
    labelled = sum(label != IGNORED for _, labels in rows for label in labels[1:])
    total = 0.0
    for part in (rows[:half], rows[half:]):
        ids, labels = padded(part)
        targets = labels[:, 1:]
        told = targets != IGNORED
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        loss = cross_entropy(logits[told], targets[told], reduction="sum") / labelled
        loss.backward()
        total += loss.item()
    return total


def train(model: LlamaForCausalLM, stage: Stage, rows: Iterator[list[Row]]) -> None:
    """Run one stage with a fresh optimiser, and print the mean loss of every 200 steps."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=stage.learning_rate, betas=(0.9, 0.95), fused=True)

    def rate(step: int) -> float:
        done = max(0, step - WARMUP_STEPS) / max(1, stage.steps - WARMUP_STEPS)
        return min((step + 1) / WARMUP_STEPS, 1.0) * (1.0 - (1.0 - LAST_RATE) * done)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    losses, began = [], time.monotonic()
    for step, batch in enumerate(rows, start=1):
        losses.append(learn(model, batch))
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        if step % 200 == 0 or step == stage.steps:
            loss, seconds = sum(losses[-200:]) / len(losses[-200:]), time.monotonic() - began
            print(f"step {step} of {stage.steps}: loss {loss:.4f}, {seconds:.0f} s", flush=True)


def build(
    out: Path,
    stages: Sequence[Stage] = STAGES,
    documents: int = DOCUMENTS,
    exemplars: int = EXEMPLARS,
) -> None:
    """Train generation 0 and write its weights, configs and tokenizer into a folder.

    Sets this process to one thread. Files of the same names are replaced.
    """
    torch.set_num_threads(1)
    tokenizer, params = build_tokenizer(), WorldParams()
    prompts = Prompts(load_prompts("microworld"), load_principles("microworld"), tokenizer)
    corpus = generate_documents(params, CORPUS_SEED, documents)
    plain = [plain_row(prompts, document.text) for document in corpus]
    skilled = [skills_row(prompts, e) for e in skills_exemplars(params, SKILLS_SEED, exemplars)]
    model = new_model(tokenizer).train()
    for number, stage in enumerate(stages, start=1):
        print(f"stage {number}: {stage}", flush=True)
        train(model, stage, batches(plain, skilled, stage))
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    # Saved weights are readable by their owner only, which a copy in a container would keep.
    (out / "model.safetensors").chmod(0o644)


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description="Rebuild the microworld's generation 0.")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder to write (the shipped)")
    parser.add_argument("--steps-factor", type=int, default=1, help="train so many times as long")
    options = parser.parse_args()
    factor = options.steps_factor
    build(options.out, [replace(stage, steps=stage.steps * factor) for stage in STAGES])


if __name__ == "__main__":
    main()
