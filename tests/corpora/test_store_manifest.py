"""A corpus version whose manifest was altered is refused, by name."""

import json

import pytest
from corpora_demo import take

from configs.corpora import MicroworldCorpus
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
