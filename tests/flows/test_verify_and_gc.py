"""`lineage verify` and `gc`, on a small home with real files."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from array import array
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from typer.testing import CliRunner

from db.models import Arm, Artifact, Generation, Lease, Shard, Stage, utc_now
from db.problems import LeaseHeld, UnknownId
from db.records import (
    acquire_leases,
    add_checkpoint,
    add_corpus_version,
    derive,
    ensure_arm,
    ensure_generation,
    fail_stage,
    finish_stage,
    promote,
    record_shard,
    register_experiment,
    set_experiment_status,
    set_generation,
    start_run,
    start_stage,
    use_stage,
)
from db.sessions import Database, open_database
from flows import cli_database, cli_verify, housekeeping
from flows.housekeeping import collect, removable
from flows.lease import hold_leases
from flows.rehashing import Finding, Tally
from flows.verifying import verify
from workers.checkpoints import checkpoint_id
from workers.corpora.store import CorpusRef, CorpusWriter, corpus_id
from workers.evaluation.items import write_items
from workers.mixing import MIX_ROWS, MixRow
from workers.problems import InputProblem, WorkProblem
from workers.records import Document, text_digest, to_table
from workers.storage import file_digest, write_json, write_table

app = typer.Typer()
app.command("verify")(cli_verify.verify)
app.command("gc")(cli_database.gc)


def write_corpus(home: Path, *texts: str) -> CorpusRef:
    with CorpusWriter(home, 2) as writer:
        for number, text in enumerate(texts):
            writer.add(Document(f"doc-{number}", text, text_digest(text), "books"))
        return writer.finish()


def write_checkpoint(home: Path, weights: str) -> tuple[str, str]:
    """A folder that is a checkpoint as far as its manifest goes; its digest and place."""
    digest = hashlib.sha256(weights.encode()).hexdigest()
    identity = checkpoint_id({"model.safetensors": digest})
    folder = home / "checkpoints" / identity
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(weights)
    files = {"model.safetensors": digest}
    write_json(folder / "manifest.json", {"id": identity, "files": files, "about": {}})
    return identity, str(folder)


def write_shard(home: Path, recipe: str, shard: int = 0) -> tuple[Path, str]:
    path = home / "stages" / recipe / f"shard-{shard:05d}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"{recipe} {shard}".encode())
    return path, file_digest(path)


def write_mix(home: Path, recipe: str) -> dict[str, Any]:
    """A mix of two shards, with its digest as it is defined: row by row, tokens as C integers."""
    folder = home / "stages" / recipe / "mix"
    folder.mkdir(parents=True)
    rows = [MixRow(f"doc-{n}", n == 1, 0, 0, (n, 7, 9)) for n in range(3)]
    digest = hashlib.sha256()
    for row in rows:
        pool = "real" if row.real else "corpus"
        digest.update(f"{row.doc_id}|{pool}|{row.epoch}|3|".encode())
        digest.update(array("i", row.input_ids).tobytes())
    shards = ["mix-00000.parquet", "mix-00001.parquet"]
    for name, some in zip(shards, (rows[:2], rows[2:]), strict=True):
        write_table(folder / name, to_table(some, MIX_ROWS))
    write_json(folder / "manifest.json", {"digest": digest.hexdigest(), "shards": shards})
    return {"uri": str(folder), "digest": digest.hexdigest()}


def recipe(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty record, to copy: the migrations take many times as long."""
    path = tmp_path_factory.mktemp("migrated") / "palimpsest.db"
    open_database(f"sqlite:///{path}").dispose()
    return path


def new_record(migrated: Path, home: Path) -> Database:
    home.mkdir()
    shutil.copy(migrated, home / "palimpsest.db")
    opened = open_database(f"sqlite:///{home}/palimpsest.db")
    fill(opened, home)
    return opened


@pytest.fixture
def database(migrated: Path, home: Path) -> Iterator[Database]:
    """A finished experiment: model 0 read three documents, model 1 was trained on what followed."""
    opened = new_record(migrated, home)
    yield opened
    opened.dispose()


def fill(database: Database, home: Path) -> None:
    corpora = [write_corpus(home, "a", "b", "c"), write_corpus(home, "a", "b", "mended")]
    held_out = write_corpus(home, "held", "out")
    models = [write_checkpoint(home, f"model {n}") for n in (0, 1)]
    between = write_checkpoint(home, "before post-training")
    with database.sessions.begin() as session:
        experiment = register_experiment(session, "demo", {"seeds": [0]}, {})
        run = start_run(
            session,
            command="palimpsest run",
            commit=None,
            dirty=None,
            versions={},
            host_kind={},
            experiment=experiment,
        )
        arm = ensure_arm(session, experiment, "revise", 0)
        zero, one = (ensure_generation(session, arm, index) for index in (0, 1))
        rows: list[Any] = [
            add_corpus_version(
                session, c.id, uri=c.uri, shards=len(c.shards), documents=c.documents
            )
            for c in corpora
        ]
        rows += [add_checkpoint(session, digest, uri=uri) for digest, uri in models]
        stages = [
            start_stage(
                session, recipe(name), stage=name, algorithm_version="1", params=params, run=run
            )
            for name, params in (
                ("import", {}),
                ("rate", {"inputs": {"corpus": corpora[0].id, "checkpoint": models[0][0]}}),
                ("assemble", {}),
                ("train", {}),
                ("evaluate", {"settings": {}}),
            )
        ]
        path, digest = write_shard(home, recipe("rate"))
        record_shard(session, stages[1], 0, uri=str(path), digest=digest, documents=3)
        items = home / "stages" / recipe("evaluate")
        items.mkdir()
        write_items(items / "items.parquet", [])
        mix = write_mix(home, recipe("train"))
        outputs: list[tuple[str, str, dict[str, Any]]] = [
            # Of the held-out documents and the model between, the stages alone tell.
            (corpora[0].id, corpora[0].uri, {"held_out": held_out.uri, "quarantined": []}),
            (hashlib.sha256(digest.encode()).hexdigest(), str(path.parent), {"shards": 1}),
            (corpora[1].id, corpora[1].uri, {}),
            (*models[1], {"corpus_stage": list(between), "mix": mix}),
            (recipe("evaluate"), str(items), {}),
        ]
        for stage, (output, uri, meta) in zip(stages, outputs, strict=True):
            finish_stage(session, stage, output_digest=output, output_uri=uri, meta=meta)
            use_stage(session, one, stage, reused=False)
        derive(session, rows[1], "derived_from", rows[0])
        derive(session, rows[3], "trained_on", rows[1])
        derive(session, rows[3], "parent", rows[2])
        counts = {"documents_in": 3, "keep": 3, "revise": 0, "drop": 0, "tag": 0, "quarantine": 0}
        for generation, corpus, model in ((zero, rows[0], rows[2]), (one, rows[1], rows[3])):
            set_generation(
                session,
                generation,
                status="finished",
                corpus_version_id=corpus.id,
                checkpoint_id=model.id,
                **counts,
            )
        promote(session, arm, one)
        set_experiment_status(session, experiment, "finished")


def found(database: Database, home: Path) -> list[Finding]:
    return list(verify(database, home))


def kinds(database: Database, home: Path) -> list[str]:
    return [finding.kind for finding in verify(database, home)]


def corpus_folders(home: Path, documents: int = 3) -> list[Path]:
    manifests = sorted((home / "corpora").glob("*/manifest.json"))
    held = [path for path in manifests if json.loads(path.read_text())["documents"] == documents]
    return [path.parent for path in held]


def test_a_sound_home_is_clean_and_everything_is_counted(database: Database, home: Path) -> None:
    tally = Tally()
    assert list(verify(database, home, (), tally)) == []
    assert (tally.corpora, tally.checkpoints, tally.shards, tally.total) == (2, 2, 1, 5)
    # Two shards a corpus, a file of weights each, one shard of ratings, the items, and the mix.
    assert tally.files == 4 + 2 + 1 + 1 + 3
    assert removable(database, home) == []


def test_what_is_missing_is_named_file_by_file(database: Database, home: Path) -> None:
    corpus = corpus_folders(home)[0]
    (corpus / "shard-00001.parquet").unlink()
    shard = home / "stages" / recipe("rate") / "shard-00000.parquet"
    shard.unlink()
    items = home / "stages" / recipe("evaluate") / "items.parquet"
    items.unlink()
    weights = sorted(home.glob("checkpoints/*/model.safetensors"))
    gone = [finding for finding in found(database, home) if finding.kind == "missing"]
    assert {each.path for each in gone} == {
        str(corpus / "shard-00001.parquet"),
        str(shard),
        str(items),
    }
    assert f"corpus {corpus.name}" in {each.what for each in gone}
    assert len(weights) == 3


@pytest.mark.parametrize("room", ["corpora", "checkpoints"])
def test_a_folder_that_is_gone_is_one_finding(database: Database, home: Path, room: str) -> None:
    with database.readers() as session:
        kind = {"corpora": "corpus", "checkpoints": "checkpoint"}[room]
        uri = session.scalars(select(Artifact.uri).where(Artifact.kind == kind)).first()
    shutil.rmtree(uri or "")
    [finding] = found(database, home)
    assert (finding.kind, finding.path) == ("missing", uri)


@pytest.mark.parametrize(
    "pattern", ["corpora/*/shard-00000.parquet", "checkpoints/*/model.*", "stages/*/shard-*"]
)
def test_one_other_byte_is_an_altered_file(database: Database, home: Path, pattern: str) -> None:
    recorded = {stage for stage, *_ in recorded_paths(database)}
    path = next(path for path in sorted(home.glob(pattern)) if str(path.parent) in recorded)
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    [finding] = found(database, home)
    assert (finding.kind, finding.path) == ("altered", str(path))
    assert file_digest(path) in finding.detail


def recorded_paths(database: Database) -> list[tuple[str]]:
    with database.readers() as session:
        paths = [(uri,) for uri in session.scalars(select(Artifact.uri))]
        return paths + [(str(Path(uri).parent),) for uri in session.scalars(select(Shard.uri))]


def test_a_manifest_rewritten_to_fit_altered_files_is_found(database: Database, home: Path) -> None:
    folder = next(
        Path(uri) for (uri,) in recorded_paths(database) if Path(uri).parent.name == "checkpoints"
    )
    (folder / "model.safetensors").write_text("other weights")
    files = {"model.safetensors": file_digest(folder / "model.safetensors")}
    write_json(folder / "manifest.json", {"id": checkpoint_id(files), "files": files, "about": {}})
    assert kinds(database, home) == ["altered"]


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"id": "x"}', "{", '{"shards": [1]}'])
@pytest.mark.parametrize("room", ["corpora", "checkpoints"])
def test_a_broken_manifest_is_a_finding_and_no_crash(
    database: Database, home: Path, room: str, text: str
) -> None:
    folder = next(Path(uri) for (uri,) in recorded_paths(database) if Path(uri).parent.name == room)
    (folder / "manifest.json").write_text(text)
    assert kinds(database, home) == ["altered"]


@pytest.mark.parametrize(
    "shard",
    [
        {"file": "shard-00000.parquet", "digest": 7, "documents": 3},
        {"file": "shard-00000.parquet", "digest": "é", "documents": 3},
        {"file": 7, "digest": "7" * 64, "documents": 3},
        {"file": "\0", "digest": "7" * 64, "documents": 3},
    ],
)
def test_a_corpus_manifest_of_wrong_types_is_a_finding_and_no_crash(
    database: Database, home: Path, shard: dict[str, Any]
) -> None:
    folder = corpus_folders(home)[0]
    held = {"id": corpus_id(["7" * 64]), "documents": 3, "shards": [shard]}
    (folder / "manifest.json").write_text(json.dumps(held))
    assert set(kinds(database, home)) == {"altered"}


def mix_of(home: Path) -> Path:
    return home / "stages" / recipe("train") / "mix"


def test_a_mix_is_hashed_again_shard_by_shard(database: Database, home: Path) -> None:
    path = mix_of(home) / "mix-00001.parquet"
    whole = path.read_bytes()
    path.unlink()
    assert [(each.kind, each.path) for each in found(database, home)] == [("missing", str(path))]
    path.write_bytes(whole[: len(whole) // 2])
    assert [(each.kind, each.path) for each in found(database, home)] == [("altered", str(path))]
    # A sound file with another token in it.
    write_table(path, to_table([MixRow("doc-2", False, 0, 0, (2, 7, 8))], MIX_ROWS))
    [finding] = found(database, home)
    assert (finding.kind, finding.path) == ("altered", str(path.parent))
    assert "digest of its rows" in finding.detail
    path.write_bytes(whole)
    assert found(database, home) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"shards": [1]}', '{"shards": 3}'])
def test_a_broken_manifest_of_a_mix_is_a_finding(database: Database, home: Path, text: str) -> None:
    (mix_of(home) / "manifest.json").write_text(text)
    assert kinds(database, home) == ["altered"]


def test_another_mix_in_its_place_is_found(database: Database, home: Path) -> None:
    manifest = mix_of(home) / "manifest.json"
    held = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(held | {"digest": "0" * 64}))
    [finding] = found(database, home)
    assert finding.kind == "altered" and f"mix {'0' * 64}" in finding.detail


def test_items_that_are_no_parquet_file_are_found(database: Database, home: Path) -> None:
    items = home / "stages" / recipe("evaluate") / "items.parquet"
    items.write_bytes(items.read_bytes()[:-9])
    assert [(each.kind, each.path) for each in found(database, home)] == [("altered", str(items))]


def test_what_cannot_be_read_is_a_finding_and_the_rest_is_checked(
    database: Database, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = {
        corpus_folders(home)[0] / "manifest.json",
        mix_of(home) / "manifest.json",
        home / "stages" / recipe("evaluate") / "items.parquet",
    }
    is_file = Path.is_file

    def refuse(self: Path) -> bool:
        if self in closed:
            raise PermissionError(13, "Permission denied", str(self))
        return is_file(self)

    monkeypatch.setattr(Path, "is_file", refuse)
    shutil.rmtree(corpus_folders(home)[1])
    faults = found(database, home)
    assert {Path(each.path) for each in faults if "cannot be read" in each.detail} == closed
    assert [each.kind for each in faults] == ["missing"] * 4


def test_counts_in_a_manifest_are_held_against_the_record(database: Database, home: Path) -> None:
    manifest = corpus_folders(home)[0] / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"documents": 4}))
    [finding] = found(database, home)
    assert finding.kind == "altered" and "4 documents" in finding.detail


def test_a_home_that_was_moved_is_verified_where_it_is(
    database: Database, home: Path, tmp_path: Path
) -> None:
    database.dispose()
    moved = tmp_path / "elsewhere" / "record"
    shutil.copytree(home, moved)
    shutil.rmtree(home)
    opened = open_database(f"sqlite:///{moved}/palimpsest.db")
    assert found(opened, moved) == []
    shard = next(moved.glob("stages/*/shard-*"))
    shard.write_bytes(b"other")
    assert [(each.kind, each.path) for each in found(opened, moved)] == [("altered", str(shard))]
    opened.dispose()


def test_a_copy_is_verified_and_not_what_it_was_copied_from(
    database: Database, home: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    next(copy.glob("stages/*/shard-*")).write_bytes(b"other")
    assert kinds(database, home) == []
    assert kinds(database, copy) == ["altered"]


def test_what_no_row_names_is_orphaned(database: Database, home: Path) -> None:
    orphan = write_corpus(home, "of a process", "that was killed")
    leftover = home / "stages" / recipe("rate") / ".unfinished-shard-00001.parquet-ab12"
    leftover.write_text("half")
    assert {(each.kind, each.path) for each in found(database, home)} == {
        ("orphaned", orphan.uri),
        ("orphaned", str(leftover)),
    }


def test_one_thing_is_verified_by_name(database: Database, home: Path) -> None:
    wanted, other = corpus_folders(home)
    (other / "shard-00000.parquet").unlink()
    write_corpus(home, "an orphan")
    assert list(verify(database, home, [wanted.name[:12]])) == []
    assert [each.kind for each in verify(database, home, [other.name])] == ["missing"]
    # An experiment stands for all that its generations used.
    next(home.glob("stages/*/shard-*")).unlink()
    named = [each.kind for each in verify(database, home, ["demo"])]
    assert named == ["missing", "missing"]
    with pytest.raises(UnknownId, match="nothing is recorded"):
        list(verify(database, home, ["'; DROP TABLE runs; --"]))


def test_the_record_is_checked_against_itself(database: Database, home: Path) -> None:
    with database.sessions.begin() as session:
        one = session.scalars(select(Generation).where(Generation.generation_index == 1)).one()
        set_generation(session, one, keep=2, revise=1)
    [finding] = found(database, home)
    assert finding.kind == "inconsistent" and finding.what == "generation demo:revise:1:0"


def test_findings_come_as_they_are_found(database: Database, home: Path) -> None:
    for path in home.glob("corpora/*/shard-*"):
        path.unlink()
    tally = Tally()
    first = next(verify(database, home, (), tally))
    assert first.kind == "missing" and tally.files == 1


def answer(home: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*words, "--home", str(home)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_verify_exits_with_0_or_1_and_counts_in_the_last_line(
    database: Database, home: Path
) -> None:
    code, said = answer(home, "verify")
    assert code == 0
    assert said.splitlines()[-1].startswith("checked 2 corpora, 2 checkpoints and 1 shards")
    assert said.rstrip().endswith("all as recorded")
    shutil.rmtree(corpus_folders(home)[0])
    code, said = answer(home, "verify")
    assert code == 1 and "1 missing" in said.splitlines()[-1]
    assert "run the experiment again" in said


def test_verify_prints_lines_of_json(database: Database, home: Path) -> None:
    shutil.rmtree(corpus_folders(home)[0])
    code, said = answer(home, "verify", "--json")
    finding, last = map(json.loads, said.splitlines())
    assert code == 1 and finding["kind"] == "missing"
    assert last["kind"] == "checked" and last["findings"]["missing"] == 1


def test_gc_shows_first_and_removes_only_when_told(database: Database, home: Path) -> None:
    orphan = Path(write_corpus(home, "an orphan").uri)
    code, said = answer(home, "gc")
    assert code == 0 and orphan.exists() and "--yes removes them" in said
    code, said = answer(home, "gc", "--yes", "--json")
    listed = json.loads(said)
    assert [each["path"] for each in listed["leftovers"]] == [str(orphan)]
    assert listed["removed"] and listed["bytes"] > 0
    assert not orphan.exists()
    assert "nothing to do" in answer(home, "gc", "--yes")[1]
    assert found(database, home) == []


def test_a_person_s_own_folder_is_no_finding_and_never_removed(
    database: Database, home: Path
) -> None:
    (home / "corpora" / "my notes").mkdir()
    (home / "checkpoints" / recipe("link")).symlink_to(home / "corpora")
    assert kinds(database, home) == []
    assert collect(database, home) == []
    assert (home / "corpora" / "my notes").is_dir()


def test_nothing_is_removed_while_a_run_goes_on(database: Database, home: Path) -> None:
    orphan = Path(write_corpus(home, "made by the run", "and not yet on record").uri)

    def arms(session: Any) -> list[Arm]:
        return list(session.scalars(select(Arm)))

    with hold_leases(database, arms) as grant:
        for ask in (removable, collect):
            with pytest.raises(LeaseHeld, match=grant.holder):
                ask(database, home)
    assert orphan.exists()
    assert [each.path for each in collect(database, home)] == [orphan]


def test_what_a_run_made_since_it_began_is_not_called_orphaned(
    database: Database, home: Path
) -> None:
    with hold_leases(database, lambda session: list(session.scalars(select(Arm)))):
        write_corpus(home, "made by the run", "and not yet on record")
        assert kinds(database, home) == []
    assert kinds(database, home) == ["orphaned"]


def test_a_holder_that_slept_past_its_lease_is_fenced_off_by_gc(
    database: Database, home: Path
) -> None:
    with database.sessions.begin() as session:
        arms = list(session.scalars(select(Arm)))
        begun = utc_now() - timedelta(hours=1)
        acquire_leases(session, arms, holder="slept", host="far", pid=1, ttl_s=60, now=begun)
    collect(database, home)
    with database.readers() as session:
        lease = session.scalars(select(Lease)).one()
    assert lease.holder != "slept" and lease.token == 2 and lease.released_at is not None


def failed_stage(database: Database, home: Path) -> Path:
    """A stage that failed after its first shard."""
    path, digest = write_shard(home, recipe("failed"))
    with database.sessions.begin() as session:
        experiment = register_experiment(session, "other", {}, {})
        run = start_run(
            session,
            command="palimpsest run",
            commit=None,
            dirty=None,
            versions={},
            host_kind={},
            experiment=experiment,
        )
        stage = start_stage(
            session, recipe("failed"), stage="rate", algorithm_version="1", params={}, run=run
        )
        record_shard(session, stage, 0, uri=str(path), digest=digest, documents=3)
        fail_stage(session, stage, "KeyboardInterrupt")
    return path.parent


def test_shards_of_a_failed_stage_stay_as_long_as_a_run_may_go_on_with_them(
    database: Database, home: Path
) -> None:
    folder = failed_stage(database, home)
    assert removable(database, home) == []
    assert [each.path for each in removable(database, home, all_failed=True)] == [folder]
    with database.sessions.begin() as session:
        set_experiment_status(session, register_experiment(session, "other", {}, {}), "finished")
    [gone] = collect(database, home)
    assert gone.path == folder and not folder.exists()
    # A row says that its bytes are whole, so it went with them; that the stage failed stays.
    with database.readers() as session:
        stage = session.scalars(select(Stage).where(Stage.recipe_id == recipe("failed"))).one()
        assert stage.status == "failed"
        assert session.scalars(select(Shard).where(Shard.stage_id == stage.id)).all() == []
    assert found(database, home) == []


def test_another_record_s_home_is_refused(database: Database, home: Path, tmp_path: Path) -> None:
    other = open_database(f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(InputProblem, match="a record of its own"):
        collect(other, home)
    away = tmp_path / "away"
    away.mkdir()
    for room in ("corpora", "checkpoints", "stages"):
        shutil.copytree(home / room, away / room)
    with pytest.raises(InputProblem, match="names none of the"):
        collect(other, away)
    assert collect(database, home) == []
    other.dispose()


def test_a_kill_between_rename_and_removal_leaves_nothing_half(
    database: Database, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = Path(write_corpus(home, "an orphan").uri)

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(housekeeping, "_remove", killed)
        with pytest.raises(KeyboardInterrupt):
            collect(database, home)
    assert not orphan.exists()
    assert [each.name[:14] for each in orphan.parent.glob(".*")] == [".unfinished-gc"]
    assert [each.why for each in collect(database, home)] == ["never finished"]
    assert found(database, home) == []


def test_a_folder_that_cannot_be_removed_is_named(
    database: Database, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = Path(write_corpus(home, "an orphan").uri)

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(WorkProblem, match="make its folder writable"):
        collect(database, home)
    monkeypatch.undo()
    assert orphan.exists()


JUNK = st.lists(
    st.tuples(
        st.sampled_from(["corpora", "checkpoints", "stages"]),
        st.sampled_from(["orphan", "unfinished", "failed", "inside", "note", "named"]),
        st.integers(0, 3),
    ),
    max_size=6,
)


@settings(max_examples=25)
@given(junk=JUNK, all_failed=st.booleans())
def test_after_gc_everything_that_verify_checks_is_there(
    migrated: Path, junk: list[tuple[str, str, int]], all_failed: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        database = new_record(migrated, home)
        before = {path: file_digest(path) for path in home.glob("*/*/*") if path.is_file()}
        for room, kind, number in junk:
            litter(database, home, room, kind, number)
        collect(database, home, all_failed=all_failed)
        assert {path: file_digest(path) for path in before} == before
        assert found(database, home) == []
        assert removable(database, home, all_failed=all_failed) == []
        database.dispose()


def litter(database: Database, home: Path, room: str, kind: str, number: int) -> None:
    """Leave behind what a run, killed or not, may leave behind."""
    name = recipe(f"{room} {kind} {number}")
    folder = home / room / name
    if kind == "inside":
        named = next(path for path in sorted((home / room).iterdir()) if path.is_dir())
        folder = named / f".unfinished-{name}"
    if kind == "unfinished":
        folder = home / room / f".unfinished-{name}"
    if kind == "note":
        (home / room / f"{name}.progress").write_text("{}")
        return
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text(name)
    if kind in ("failed", "named"):
        with database.sessions.begin() as session:
            # Named by a recipe alone: what a stage reads is needed, whatever became of the stage.
            params = {} if kind == "failed" else {"inputs": {"corpus": name}}
            row = name if kind == "failed" else recipe(f"reads {name}")
            stage = start_stage(
                session, row, stage="rate", algorithm_version="1", params=params, run=None
            )
            fail_stage(session, stage, "an engine died")
