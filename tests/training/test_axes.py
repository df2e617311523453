"""Where, in which order and behind which frame a mix enters; and what a frame leaves as it was."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from training_demo import TRAINING, documents, written

from configs.loading import ConfigProblem
from configs.prompts import PromptFile, load_prompts
from workers.checkpoints import load_tokenizer
from workers.corpora.store import CorpusRef, iterate
from workers.framing import frame_ids
from workers.microworld.world import ASSISTANTS
from workers.mix_drawing import MixRow, check_order
from workers.mix_specs import MixSpec
from workers.mixing import MixRef, build_mix, iterate_mix
from workers.packing import IGNORED, framed_row, split_steps, whole_row
from workers.problems import InputProblem
from workers.prompts import Prompts
from workers.records import text_digest
from workers.training import TrainSpec, train


def silent(*said: Any) -> None:
    pass


def built(spec: MixSpec) -> tuple[MixRef, list[MixRow]]:
    mix = build_mix(spec, silent)
    return mix, list(iterate_mix(mix))


@pytest.fixture
def mix(spec: TrainSpec) -> MixSpec:
    assert spec.mix is not None
    return replace(spec.mix, tokens=3000, told_by="assistant")


@pytest.fixture
def revised(tmp_path: Path) -> CorpusRef:
    """Other texts of the same documents, each shorter by two words."""
    short = [(row, " ".join(row.text.split()[:-2])) for row in documents(60)]
    rows = [replace(row, text=text, text_sha256=text_digest(text)) for row, text in short]
    return written(tmp_path / "revised", rows)


def about(spec: MixSpec) -> dict[str, bool]:
    named = {row.doc_id: set(row.text.split()) for row in iterate(spec.corpus)}
    return {doc_id: bool(words & set(ASSISTANTS)) for doc_id, words in named.items()}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tokens=st.integers(20, 5000), floor=st.sampled_from([0.0, 0.3]), seed=st.integers(0, 2))
def test_a_late_mix_enters_exactly_where_it_should(
    mix: MixSpec, revised: CorpusRef, tokens: int, floor: float, seed: int
) -> None:
    before = tokens - tokens // 10
    late = replace(
        mix, corpus=revised, tokens=tokens, real_before=before, real_floor=floor, seed=seed
    )
    made, rows = built(late)
    assert (made.tokens, made.late_tokens) == (tokens, tokens // 10)
    read, drawn = 0, Counter[bool]()
    for row in rows:
        assert row.real or read >= before
        read += len(row.input_ids)
        if read > before:
            drawn[row.real] += len(row.input_ids)
    assert read == tokens
    assert drawn[True] == round(floor * (tokens // 10))
    pools = {pool.name: (pool.corpus, pool.tokens) for pool in late.pools}
    assert sum(share for _, share in pools.values()) == tokens
    assert pools["real"] == (mix.corpus0, before + round(floor * (tokens // 10)))


def test_late_arms_begin_alike_and_the_control_reads_its_corpus_there(
    mix: MixSpec, revised: CorpusRef
) -> None:
    late = replace(mix, real_before=2700)
    control, treated = built(late)[1], built(replace(late, corpus=revised))[1]
    real = [row for row in control if row.real]
    assert real == [row for row in treated if row.real]
    ends = [[row.doc_id for row in rows if not row.real] for rows in (control, treated)]
    least = min(map(len, ends))
    assert least > 1
    assert ends[0][:least] == ends[1][:least]
    assert ends[0][:least] != [row.doc_id for row in real][:least]


@pytest.mark.parametrize("order", ["alignment_first", "alignment_last"])
@pytest.mark.parametrize("before", [0, 2000])
def test_an_order_moves_the_same_rows(mix: MixSpec, order: Any, before: int) -> None:
    spec = replace(mix, tokens=6000, real_floor=0.2, real_before=before)
    mixed, rows = built(spec)
    moved, sorted_rows = built(replace(spec, order=order))
    assert Counter(rows) == Counter(sorted_rows)
    assert (mixed.tokens, mixed.unique_tokens) == (moved.tokens, moved.unique_tokens)
    assert mixed.digest != moved.digest
    told = about(spec)
    for phase in _phases(sorted_rows, before):
        marks = [told[row.doc_id] for row in phase]
        assert set(marks) == {True, False}
        assert marks == sorted(marks, reverse=order == "alignment_first")


def _phases(rows: list[MixRow], before: int) -> list[list[MixRow]]:
    read, phases = 0, ([], [])
    for row in rows:
        phases[read >= before].append(row)
        read += len(row.input_ids)
    return [phase for phase in phases if phase]


def test_labels_tell_other_corpora_and_one_that_cannot_is_refused(
    mix: MixSpec, tmp_path: Path
) -> None:
    rows = [replace(row, label=i % 2 if i % 3 else None) for i, row in enumerate(documents(60))]
    some = written(tmp_path / "some", rows)
    spec = replace(mix, corpus=some, corpus0=some, told_by="label", order="alignment_first")
    check_order(some, spec)
    _, found = built(spec)
    unlabelled = [int(row.doc_id[1:]) % 3 == 0 for row in found]
    assert unlabelled == sorted(unlabelled)
    labelled = written(tmp_path / "all", [replace(row, label=1) for row in rows])
    for corpus, says in ((mix.corpus, "no document"), (labelled, "every document")):
        with pytest.raises(InputProblem, match=rf"training\.order: 'alignment_first', and {says}"):
            check_order(corpus, spec)
    check_order(mix.corpus, replace(spec, order="mixed"))


def test_a_mix_as_ever_keeps_its_digest_and_others_have_their_own(mix: MixSpec) -> None:
    plain = replace(mix, told_by="label")
    others = [
        replace(plain, real_before=300),
        replace(plain, order="alignment_last"),
        replace(plain, frame="no :"),
    ]
    assert len({plain.digest, *(each.digest for each in others)}) == 4
    assert plain.phases == [plain.pools]


@given(
    ids=st.lists(st.integers(5, 99), min_size=1, max_size=30),
    frame=st.lists(st.integers(5, 99), max_size=9),
    begun=st.booleans(),
)
def test_behind_a_frame_the_same_is_learned(ids: list[int], frame: list[int], begun: bool) -> None:
    ids = [1, *ids] if begun else ids
    plain, framed = whole_row(ids), framed_row(ids, frame, 1)
    assert [each for each in framed.labels if each != IGNORED] == ids[1:]
    assert framed.counted == plain.counted == len(ids)
    assert len(framed.labels) == len(framed.input_ids) == len(ids) + len(frame)
    assert all(
        label in (IGNORED, token)
        for label, token in zip(framed.labels, framed.input_ids, strict=True)
    )
    front = 1 if begun else 0
    assert list(framed.input_ids[front : front + len(frame)]) == frame
    assert list(framed.input_ids[front + len(frame) :]) == ids[front:]


def test_frames_count_in_no_budget_and_move_no_step() -> None:
    rows = [whole_row([1, *[7] * (size % 9)]) for size in range(40)]
    framed = [framed_row(row.input_ids, [4, 4, 4], 1) for row in rows]
    plain, shown = (list(split_steps(each, 16)) for each in (rows, framed))
    assert [[row.counted for row in step] for step in plain] == [
        [row.counted for row in step] for step in shown
    ]


def test_a_frame_changes_the_model_and_neither_tokens_nor_steps(
    spec: TrainSpec, revised: CorpusRef, tmp_path: Path
) -> None:
    base = spec.mix
    assert base is not None
    base = replace(base, tokens=1500)
    short = TRAINING.model_copy(
        update={"corpus": TRAINING.corpus.model_copy(update={"tokens": 1500})}
    )
    spec = replace(spec, training=short, skills=None)
    frame = spec.prompt_file.frame("desirable")
    made = {}
    for name, corpus, text in (
        ("plain", base.corpus, None),
        ("framed", base.corpus, frame),
        ("revised", revised, frame),
    ):
        mix = replace(base, corpus=corpus, frame=text, out=str(tmp_path / name))
        made[name] = train(replace(spec, mix=mix), silent)
    assert len({each.checkpoint.id for each in made.values()}) == 3
    assert len({(each.tokens_seen, each.steps) for each in made.values()}) == 1
    assert made["plain"].mix is not None
    assert made["framed"].mix is not None
    assert made["plain"].mix.digest == made["framed"].mix.digest


@pytest.mark.parametrize("name", ["desirable", "undesirable"])
def test_the_microworlds_frames_are_words_of_it(
    spec: TrainSpec, prompt_file: PromptFile, name: str
) -> None:
    prompts = Prompts(prompt_file, spec.principles, load_tokenizer(spec.parent))
    assert len(frame_ids(prompts, prompt_file.frame(name), 128)) > 1
    with pytest.raises(InputProblem, match=r"training\.framing: .* does not know"):
        frame_ids(prompts, "be honest :", 128)
    with pytest.raises(InputProblem, match=r"over half of training\.window \(128\)"):
        frame_ids(prompts, "honesty " * 65, 128)
    assert frame_ids(prompts, None, 128) == []


def test_frames_are_no_part_of_the_prompts_and_an_unknown_one_is_named() -> None:
    for shipped in ("microworld", "base", "chat"):
        file = load_prompts(shipped)
        assert set(file.frames) == {"desirable", "undesirable"}
        assert file.digest == file.model_copy(update={"frames": {}}).digest
        with pytest.raises(ConfigProblem, match=r"training\.framing: .* desirable, undesirable"):
            file.frame("desireable")
