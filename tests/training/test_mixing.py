"""The mix: exact budgets, the real floor, exclusions, and one order for all arms."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from training_demo import documents, written

from configs.principles import Principles
from configs.prompts import PromptFile
from workers import shuffling
from workers.checkpoints import CheckpointRef, load_tokenizer
from workers.corpora.store import CorpusRef
from workers.mix_drawing import MixRow
from workers.mix_specs import MixSpec
from workers.mixing import MixRef, build_mix, iterate_mix, open_mix
from workers.problems import InputProblem, WorkProblem
from workers.prompts import Prompts
from workers.records import Document, text_digest


def silent(what: str, done: int, total: int, figures: dict[str, Any]) -> None:
    pass


@pytest.fixture
def spec(
    corpus: CorpusRef,
    tiny: CheckpointRef,
    prompt_file: PromptFile,
    principles: Principles,
    tmp_path: Path,
) -> MixSpec:
    return MixSpec(
        corpus=corpus,
        corpus0=corpus,
        excluded=frozenset(),
        tokens=1500,
        real_floor=0.0,
        window=64,
        seed=0,
        checkpoint=tiny,
        prompt_file=prompt_file,
        principles=principles,
        out=str(tmp_path / "mix"),
    )


def built(spec: MixSpec) -> tuple[MixRef, list[MixRow]]:
    mix = build_mix(spec, silent)
    return mix, list(iterate_mix(mix))


def order(rows: list[MixRow], epoch: int = 0, real: bool = False) -> list[str]:
    held = [row.doc_id for row in rows if row.epoch == epoch and row.real == real]
    return list(dict.fromkeys(held))


def treated(corpus_rows: list[Document]) -> list[Document]:
    """Other texts, of other lengths, for the same documents."""
    changed = []
    for number, row in enumerate(corpus_rows):
        text = row.text if number % 3 else " ".join(row.text.split()[:-3])
        changed.append(replace(row, text=text, text_sha256=text_digest(text)))
    return changed


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tokens=st.integers(1, 9000),
    floor=st.floats(0, 1),
    window=st.integers(2, 80),
    seed=st.integers(0, 3),
    excluded=st.sets(st.integers(0, 59), max_size=59),
)
def test_budget_floor_and_exclusions_hold_exactly(
    spec: MixSpec, tokens: int, floor: float, window: int, seed: int, excluded: set[int]
) -> None:
    out = frozenset(f"d{i:05d}" for i in excluded)
    spec = replace(spec, tokens=tokens, real_floor=floor, window=window, seed=seed, excluded=out)
    mix, rows = built(spec)
    spent: Counter[bool] = Counter()
    for row in rows:
        assert 1 <= len(row.input_ids) <= window
        assert row.doc_id not in out
        spent[row.real] += len(row.input_ids)
    assert sum(spent.values()) == mix.tokens == tokens
    assert spent[True] == round(floor * tokens)
    assert mix.documents == len({row.doc_id for row in rows})
    assert 0 < mix.unique_tokens <= tokens
    assert mix.epochs == tokens / mix.unique_tokens


def test_the_share_is_repeated_in_freshly_shuffled_epochs(spec: MixSpec) -> None:
    mix, rows = built(replace(spec, tokens=7000))
    first, second = order(rows, 0), order(rows, 1)
    assert sorted(first) == sorted(second) == [f"d{i:05d}" for i in range(60)]
    assert first != second
    assert mix.documents == 60
    per_epoch = sum(len(row.input_ids) for row in rows if row.epoch == 0)
    assert (mix.unique_tokens, mix.epochs) == (per_epoch, 7000 / per_epoch)


def test_rows_are_the_documents_as_they_are_in_order(spec: MixSpec, corpus: CorpusRef) -> None:
    prompts = Prompts(spec.prompt_file, spec.principles, load_tokenizer(spec.checkpoint))
    _, rows = built(replace(spec, window=20, tokens=3000))
    texts = {row.doc_id: row.text for row in documents(60)}
    whole: dict[str, list[int]] = {}
    for row in rows:
        if row.epoch == 0:
            whole.setdefault(row.doc_id, []).extend(row.input_ids)
    for doc_id in list(whole)[:-1]:
        assert whole[doc_id] == prompts.document(texts[doc_id])


def test_arms_see_their_documents_in_one_order(spec: MixSpec, tmp_path: Path) -> None:
    base = documents(60)
    revised = written(tmp_path, treated(base), shard_documents=7)
    filtered = written(tmp_path, [row for i, row in enumerate(base) if i % 4], shard_documents=13)
    spec = replace(spec, tokens=8000, real_floor=1 / 3)
    mixes = [built(replace(spec, corpus=each)) for each in (spec.corpus, revised, filtered)]
    assert {mix.tokens for mix, _ in mixes} == {8000}
    control, treatment, fewer = (rows for _, rows in mixes)
    for epoch in (0, 1):
        assert order(control, epoch) == order(treatment, epoch)
        kept = [name for name in order(control, epoch) if int(name[1:]) % 4]
        assert order(fewer, epoch) == kept
    # The real part is the same documents, with the same texts, in every arm.
    real = [[row for row in rows if row.real] for _, rows in mixes]
    assert real[0] == real[1] == real[2]


def test_real_and_treated_documents_are_drawn_apart_and_interleaved(spec: MixSpec) -> None:
    _, rows = built(replace(spec, tokens=2000, real_floor=0.5))
    assert order(rows, real=True)[:10] != order(rows, real=False)[:10]
    seen = {True: 0, False: 0}
    for row in rows:
        seen[row.real] += len(row.input_ids)
        assert abs(seen[True] - seen[False]) <= 64


def test_a_seed_draws_the_order_and_nothing_else_does(spec: MixSpec, tmp_path: Path) -> None:
    first, _ = built(spec)
    again, _ = built(replace(spec, out=str(tmp_path / "again")))
    other, _ = built(replace(spec, seed=1))
    assert first.digest == again.digest != other.digest


def test_texts_in_both_pools_count_once(spec: MixSpec) -> None:
    mix, _ = built(replace(spec, tokens=9000, real_floor=0.5))
    alone, _ = built(replace(spec, tokens=4500))
    assert mix.unique_tokens == alone.unique_tokens
    assert mix.documents == 60


def test_the_order_does_not_depend_on_how_much_is_held_in_memory(
    spec: MixSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = built(spec)
    monkeypatch.setattr(shuffling, "HELD", 4)
    dealt, _ = built(spec)
    assert dealt.digest == whole.digest


def test_memory_holds_a_part_of_the_corpus(
    corpus: CorpusRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shuffling, "HELD", 5)
    sizes: list[int] = []
    read = shuffling.from_table

    def counted(table: Any, row: Any) -> Any:
        sizes.append(table.num_rows)
        return read(table, row)

    monkeypatch.setattr(shuffling, "from_table", counted)
    assert len(list(shuffling.shuffled(corpus, "0", frozenset(), tmp_path))) == 60
    assert len(sizes) == 12
    assert max(sizes) <= 15


def test_nothing_left_is_said_and_leaves_nothing_behind(spec: MixSpec) -> None:
    everything = frozenset(f"d{i:05d}" for i in range(60))
    with pytest.raises(WorkProblem, match="all 60 documents"):
        built(replace(spec, excluded=everything))
    with pytest.raises(InputProblem, match="no finished mix"):
        open_mix(spec.out)
    assert list(Path(spec.out).parent.iterdir()) == []


def test_what_an_earlier_attempt_left_is_replaced(spec: MixSpec) -> None:
    Path(spec.out).mkdir()
    (Path(spec.out) / "mix-00000.parquet").write_bytes(b"half")
    mix, rows = built(spec)
    assert open_mix(spec.out) == mix
    assert sum(len(row.input_ids) for row in rows) == spec.tokens


def test_a_whole_mix_is_never_written_again(spec: MixSpec) -> None:
    mix, _ = built(spec)
    before = {path: path.stat().st_ino for path in Path(spec.out).iterdir()}
    assert built(spec)[0] == mix
    assert {path: path.stat().st_ino for path in Path(spec.out).iterdir()} == before
    shard = Path(spec.out) / "mix-00000.parquet"
    shard.write_bytes(b"altered")
    assert built(spec)[0] == mix and shard.read_bytes() != b"altered"


def test_a_second_writer_finds_that_the_mix_stands(spec: MixSpec) -> None:
    """Another run of the same recipe finishes while this one still writes."""
    inner = built(replace(spec, out=spec.out + "-other"))[0]

    def finish(what: str, done: int, total: int, figures: dict[str, Any]) -> None:
        if not Path(spec.out).exists():
            Path(inner.uri).rename(spec.out)

    whole = {path.name: path.stat().st_ino for path in Path(inner.uri).iterdir()}
    assert build_mix(spec, finish).digest == inner.digest
    assert {path.name: path.stat().st_ino for path in Path(spec.out).iterdir()} == whole


def test_what_is_spilled_lies_in_the_home(spec: MixSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: pytest.fail("the RAM disk of an image"))
    built(spec)
    assert sorted(path.suffix for path in Path(spec.out).iterdir()) == [".json", ".parquet"]


def test_accumulated_corpora_have_equal_parts_beside_the_real_share(
    spec: MixSpec, tmp_path: Path
) -> None:
    base = documents(60)
    newest, older = (written(tmp_path / n, treated(base), shard_documents=7) for n in ("a", "b"))
    spec = replace(spec, corpus=newest, earlier=(older,), real_floor=1 / 3, tokens=3001)
    _, rows = built(spec)
    spent: Counter[tuple[bool, int]] = Counter()
    for row in rows:
        spent[row.real, row.back] += len(row.input_ids)
    assert spent == {(True, 0): 1000, (False, 0): 1000, (False, 1): 1001}
    assert [(pool.name, pool.corpus) for pool in spec.pools] == [
        ("real", spec.corpus0),
        ("corpus", newest),
        ("corpus-1", older),
    ]
    early = rows[: len(rows) // 3]
    assert {(row.real, row.back) for row in early} == set(spent), "they are interleaved"
