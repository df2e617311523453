"""A corpus version whose manifest was altered is refused, by name."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from corpora_demo import take

from configs.corpora import MicroworldCorpus
from workers.corpora import store
from workers.corpora.store import iterate, open_corpus, verify_corpus
from workers.problems import InputProblem


@pytest.fixture
def made(tmp_path):
    return take(MicroworldCorpus(documents=10), tmp_path).corpus


def alter(made, change):
    path = made.shard_path(0).parent / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["shards"].pop(),
        lambda manifest: manifest["shards"].reverse(),
        lambda manifest: manifest["shards"][1].update(digest="0" * 64),
        lambda manifest: manifest.pop("shards"),
        lambda manifest: manifest["shards"][0].pop("file"),
    ],
)
def test_an_altered_manifest_is_refused(made, change):
    alter(made, change)
    with pytest.raises(InputProblem, match=r"manifest\.json.*altered.*run the experiment again"):
        open_corpus(made.uri)


def test_a_manifest_that_is_no_json_is_refused(made):
    (made.shard_path(0).parent / "manifest.json").write_text("{")
    with pytest.raises(InputProblem, match=r"manifest\.json.*altered"):
        open_corpus(made.uri)


def test_a_version_may_be_moved(made, tmp_path):
    moved = tmp_path / "elsewhere"
    made.shard_path(0).parent.rename(moved)
    again = open_corpus(moved)
    verify_corpus(again)
    assert again.id == made.id and len(list(iterate(again))) == made.documents == 10
    with pytest.raises(InputProblem, match=r"shard-00000.*missing.*run the experiment again"):
        verify_corpus(made)


def test_a_version_that_lost_a_shard_is_whole_once_it_is_made_again(made, tmp_path):
    made.shard_path(1).unlink()
    again = take(MicroworldCorpus(documents=10), tmp_path).corpus
    assert again == made
    verify_corpus(open_corpus(made.uri))


def test_two_that_import_the_same_at_once_both_end_with_it(tmp_path, monkeypatch):
    real, both_missed_it = store.write_json, Barrier(2, timeout=30)

    def meeting(path, value):
        both_missed_it.wait()
        real(path, value)

    monkeypatch.setattr(store, "write_json", meeting)
    with ThreadPoolExecutor(2) as pool:
        takes = [pool.submit(take, MicroworldCorpus(documents=10), tmp_path) for _ in range(2)]
    one, other = (each.result().corpus for each in takes)
    assert one == other
    verify_corpus(open_corpus(one.uri))
    assert [path.name for path in (tmp_path / "corpora").iterdir()] == [one.id]
