"""A stage whose output changes must raise its algorithm version, or reuse would mix old and new.

When one of these fails: if the change is wanted, raise the stage's version in workers/versions.py
and put the new digest here.
"""

import math
from pathlib import Path

import pytest

from configs.asking import Acceptance
from configs.corpora import CorpusOptions, MicroworldCorpus
from configs.fingerprint import digest_of
from configs.principles import load_principles
from configs.prompts import load_prompts
from workers.assembling import assemble
from workers.checkpoints import admit
from workers.corpora.intake import import_corpus
from workers.corpora.store import iterate
from workers.engines.interface import EngineSpec, Reply
from workers.engines.scripted import ScriptedEngine
from workers.jobs import AcceptJob, Part, RateJob, shard_file
from workers.mix_specs import MixSpec
from workers.mixing import build_mix
from workers.revise_job import ReviseJob
from workers.storage import write_table
from workers.versions import ALGORITHM_VERSIONS

# Stage: version and digest of what it made of the same small corpus.
GOLDEN = {
    "import": (
        "1",
        "51ca765668a1605483c6a510de03e04471d2d14fae103501abb1395aa842e3cc",
    ),
    "rate": (
        "1",
        "80cec007a7b5c7511ad21125057e48040f4f7c482055403e74b7c490ae0e6154",
    ),
    "revise": (
        "1",
        "f3b10c2df8f0adcf5b17af4e14e12baf70827851a34890b95b2591adb693074c",
    ),
    "accept": (
        "1",
        "5fef6d8ce544ccba437b9e9fb48863ca79c833f3ed3ddbcb98b4a745dba71412",
    ),
    "assemble": (
        "1",
        "b4f6f01fe2706b933b061a7ea1be20c01f6d2478a5b1c7160923c4fc8e68d696",
    ),
    "mix": (
        "2",
        "4c33819476683fa6dfe10a02b97ae6fb87be6c1109dc440057ee6fc2adcde116",
    ),
}


def scripted(checkpoint) -> ScriptedEngine:
    """Rates by the prompt's sum, mends every first sentence that it is asked about."""

    def choice(prompt):
        yes = (sum(prompt) % 97) / 97 * 0.9 + 0.05
        return math.log(yes), math.log(1 - yes)

    from workers.checkpoints import load_tokenizer

    tokenizer = load_tokenizer(checkpoint)
    one = tokenizer.encode("[1]", add_special_tokens=False)[0]
    two = tokenizer.encode("[2]", add_special_tokens=False)[0]

    def answer(prompt):
        first = prompt[prompt.index(one) : prompt.index(two)]
        swapped = {tokenizer.convert_tokens_to_ids("has"): tokenizer.convert_tokens_to_ids("helps")}
        return Reply(tuple(swapped.get(token, token) for token in first), finished=True)

    return ScriptedEngine(choice, answer)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, str]:
    """Digest of every stage's output."""
    home: Path = tmp_path_factory.mktemp("home")
    intake = CorpusOptions(shard_documents=40, held_out_share=0.2)
    corpus = import_corpus(
        MicroworldCorpus(documents=60), intake, 0, home, lambda done: None
    ).corpus
    checkpoint = admit("microworld", None, home)
    asking = {
        "corpus": corpus,
        "spec": EngineSpec("scripted", checkpoint.uri, "rater", "float32", 160),
        "prompt_file": load_prompts("microworld"),
        "principles": load_principles("microworld"),
        "min_answer_mass": 0.05,
    }
    jobs = [RateJob(**asking, out=str(home / "rate"))]
    jobs.append(
        ReviseJob(
            **asking,
            out=str(home / "revise"),
            ratings=jobs[0].out,
            threshold=0.5,
            mode="edits",
            max_tokens=48,
            temperature=0.0,
            tag="tag",
            acceptance=Acceptance(min_gain=0.0, max_loss=1.0),
            seed=0,
        )
    )
    lenient = Acceptance(min_gain=0.0, max_loss=1.0)
    jobs.append(
        AcceptJob(**asking, out=str(home / "accept"), revisions=jobs[1].out, acceptance=lenient)
    )
    found = {"import": digest_of([[d.doc_id, d.text, d.label] for d in iterate(corpus)])}
    for name, job in zip(("rate", "revise", "accept"), jobs, strict=True):
        rows = []
        for shard, held in enumerate(corpus.shards):
            table = job.run(scripted(checkpoint), Part(shard, 0, held.documents))
            write_table(shard_file(job.out, shard), table)
            rows += [[_rounded(value) for value in row.values()] for row in table.to_pylist()]
        found[name] = digest_of(rows)
    assembled = assemble(corpus, Path(jobs[2].out), home, 40)
    assert assembled.counts["revise"] > 0
    found["assemble"] = digest_of([[d.doc_id, d.text] for d in iterate(assembled.corpus)])
    found["mix"] = build_mix(
        MixSpec(
            corpus=assembled.corpus,
            corpus0=corpus,
            excluded=frozenset({"mw-0-1"}),
            tokens=3000,
            real_floor=0.25,
            window=64,
            seed=0,
            checkpoint=checkpoint,
            prompt_file=asking["prompt_file"],
            principles=asking["principles"],
            out=str(home / "mix"),
        ),
        lambda *said: None,
    ).digest
    return found


def _rounded(value):
    return round(value, 9) if isinstance(value, float) else value


@pytest.mark.parametrize("stage", GOLDEN)
def test_output_changes_only_with_the_version(made, stage):
    version, digest = GOLDEN[stage]
    assert ALGORITHM_VERSIONS["train" if stage == "mix" else stage] == version
    assert made[stage] == digest, f"{stage}: {made[stage]}"
