"""Readers: which model rates and revises an arm's corpus."""

from __future__ import annotations

from configs.loading import ConfigProblem
from db.records import add_checkpoint
from flows.context import ArmState, RunContext
from workers.checkpoints import CheckpointRef, admit, load_tokenizer
from workers.problems import InputProblem
from workers.prompts import Prompts

OWN = ("self", "base")
"""Values of `revising.reviser` that name no other model."""


def reader_of(context: RunContext, arm: ArmState) -> CheckpointRef:
    """The model that reads an arm's corpus now: its newest, its first, or another one."""
    reviser = context.experiment.revising.reviser
    if reviser == "self":
        return arm.checkpoints[-1]
    if reviser == "base":
        return arm.checkpoints[0]
    assert context.reviser is not None, "the reviser is admitted before anything is read"
    return context.reviser


def admit_reviser(context: RunContext) -> CheckpointRef | None:
    """Check the other model that is to revise, copy it home and record it; None without one.

    Raises:
        InputProblem: it cannot be used, or is the acceptance rater under another name.
    """
    settings = context.experiment
    name = settings.revising.reviser
    if name in OWN:
        return None
    try:
        found = admit(name, None, context.home)
        # Asked for now, since the first rating is hours of training away.
        _ = Prompts(context.prompt_file, context.principles, load_tokenizer(found)).answer_ids
    except (InputProblem, ConfigProblem, ValueError) as error:
        said = str(error).removeprefix("model.path: ")
        raise InputProblem(f"revising.reviser: {said}") from error
    given = settings.training.generation_0 == "given" and not settings.skills.post_train_base
    if found == context.admitted and given and settings.acceptance.rater == "base":
        raise InputProblem(
            f"revising.reviser: {name!r} is generation 0 itself, which is the acceptance rater; "
            "write `base`, and set acceptance.rater to `none`"
        )
    context.store.publish_folder(found.uri)
    with context.write() as session:
        add_checkpoint(session, found.id, uri=found.uri, run=context.run)
    return found
