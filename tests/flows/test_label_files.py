"""Human labels apart from a record: files that are read, sets that are named, verdicts matched."""

import csv
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.records.labels import LabelRow, label_digest
from flows.label_files import read_labels
from flows.label_matching import Item, Rated, match, measure
from workers.problems import InputProblem


def test_labels_without_a_score_are_counted_and_never_scored():
    items = [Item("a", "", 1, "t"), Item("b", "", 0, "t"), Item("c", "", 1, None)]
    ratings = {
        "a": Rated("t", {"honesty": None, "oversight": 0.9}),
        "b": Rated("t", {"honesty": 0.2, "oversight": 0.9}),
        "c": Rated("t", {"honesty": 0.2, "oversight": 0.9}),
    }
    found = match(items, ratings)[""]
    assert (found.good, found.bad, found.unscored) == ([], [0.2], 1)
    assert found.unmatched == {"text_unknown": 1}
    measured = measure(found, None)
    assert measured["rater_auc"] == {"value": None, "stderr": None}
    assert (measured["threshold"], measured["configured"]) == (None, None)


CELLS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=30
)
ROWS = st.lists(
    st.builds(LabelRow, CELLS, st.sampled_from([0, 1]), CELLS.map(str.strip), CELLS.map(str.strip)),
    min_size=1,
    max_size=20,
    unique_by=lambda row: (row.doc_id, row.principle, row.annotator),
)


@settings(max_examples=100)
@given(rows=ROWS, data=st.data())
def test_any_rows_written_as_csv_are_read_as_they_were(rows, data):
    words = {0: ["0", "false", "Undesirable"], 1: ["1", " TRUE", "desirable"]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["label", "doc_id", "principle", "annotator"])
            for row in rows:
                said = data.draw(st.sampled_from(words[row.label]))
                writer.writerow([said, row.doc_id, row.principle, row.annotator])
        assert [line.row for line in read_labels(path)] == rows


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_with_a_message(raw):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        path.write_bytes(b"doc_id,label\n" + raw)
        try:
            lines = read_labels(path)
        except InputProblem as problem:
            lines = []
            message = str(problem)
        else:
            message = "labels.csv"
        assert "labels.csv" in message and all(line.row.label in (0, 1) for line in lines)


@settings(max_examples=50)
@given(rows=ROWS, data=st.data())
def test_the_digest_is_of_the_labels_and_not_of_their_order(rows, data):
    assert label_digest(data.draw(st.permutations(rows)), {}) == label_digest(rows, {})
    other = [replace(rows[0], label=1 - rows[0].label), *rows[1:]]
    assert label_digest(other, {}) != label_digest(rows, {})
