"""Every document has exactly one action, and corpus n+1 is what the actions say."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.assembling import assemble, changed_documents
from workers.corpora.store import CorpusWriter, iterate
from workers.jobs import shard_file
from workers.problems import WorkProblem
from workers.records import ACTIONS, REVISIONS, Document, Revision, text_digest, to_table
from workers.storage import write_table

SHARD = 3


def corpus_of(home, count):
    with CorpusWriter(home, SHARD) as writer:
        for i in range(count):
            writer.add(Document(f"d{i}", f"text {i}", text_digest(f"text {i}"), "test"))
        return writer.finish()


def decide(folder, corpus, actions):
    documents = list(iterate(corpus))
    rows = []
    for document, action in zip(documents, actions, strict=True):
        changed = f"{document.text} changed" if action in ("revise", "tag") else None
        rows.append(
            Revision(
                document.doc_id,
                document.text_sha256,
                text_digest(changed) if changed else None,
                changed,
                action,
                "" if action == "keep" else "because",
            )
        )
    for shard in range(len(corpus.shards)):
        part = rows[shard * SHARD : (shard + 1) * SHARD]
        write_table(shard_file(folder, shard), to_table(part, REVISIONS))
    return folder


@settings(max_examples=25)
@given(st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=10))
def test_counts_add_up_and_the_corpus_follows(tmp_path_factory, actions):
    home = tmp_path_factory.mktemp("home")
    corpus = corpus_of(home, len(actions))
    folder = decide(home / "decisions", corpus, actions)
    gone = [a for a in actions if a in ("drop", "quarantine")]
    if len(gone) == len(actions):
        with pytest.raises(WorkProblem, match="no document is left"):
            assemble(corpus, folder, home, SHARD)
        return
    made = assemble(corpus, folder, home, SHARD)
    assert sum(made.counts.values()) == len(actions)
    assert made.corpus.documents == len(actions) - len(gone)
    assert len(made.quarantined) == actions.count("quarantine")
    for document in iterate(made.corpus):
        action = actions[int(document.doc_id[1:])]
        assert document.text.endswith("changed") == (action in ("revise", "tag"))
        assert document.text_sha256 == text_digest(document.text)
    assert len(list(changed_documents(corpus, folder))) == len(actions) - actions.count("keep")


def test_decisions_about_other_texts_are_refused(tmp_path):
    corpus = corpus_of(tmp_path, 4)
    with CorpusWriter(tmp_path, SHARD) as writer:
        for i in range(4):
            writer.add(Document(f"d{i}", "other", text_digest("other"), "test"))
        other = writer.finish()
    folder = decide(tmp_path / "decisions", other, ["keep"] * 4)
    with pytest.raises(WorkProblem, match="do not belong"):
        assemble(corpus, folder, tmp_path, SHARD)
