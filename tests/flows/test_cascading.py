"""A run with a cascade: fewer calls, its error on record, and resumed like any other."""

import json

from loop_tools import TINY, run, status

OPTIONS = (
    "--set", "name=cascaded",
    "--set", "generations=1",
    "--set", "corpus.documents=750",
    "--set", "intake.shard_documents=150",
    "--set", 'rating.cascade={"sample": 300, "max_missed": 0.15, "audit_share": 0.2}',
)  # fmt: skip


def test_a_run_with_a_cascade_says_what_it_let_pass_and_what_that_cost(tmp_path):
    code, out, err = run(tmp_path, "run", str(TINY), *OPTIONS)
    assert code == 0, err
    assert "cascade: " in err and "documents pass" in err
    arms = {arm["arm"]: arm["generations"] for arm in status(tmp_path, "cascaded")["arms"]}
    found = arms["revise"][1]["metrics"]
    settled, missed = found["cascade/settled"], found["cascade/missed"]
    assert settled["value"] > 0.05 and settled["n"] == arms["revise"][1]["documents_in"]
    assert missed["n"] > 0 and 0 <= missed["value"] <= 1
    assert found["cascade/missed_at_most"]["value"] >= missed["value"]
    code, out, err = run(tmp_path, "run", str(TINY), *OPTIONS)
    assert code == 0, err
    assert "no model was called" in out
    code, out, err = run(tmp_path, "lineage", "verify")
    assert code == 0, err
    code, out, err = run(tmp_path, "run", str(TINY), *OPTIONS, "--dry-run", "--json")
    assert code == 0, err
    assert all(row["to_do"] == 0 for row in json.loads(out))
    code, out, err = run(tmp_path, "gc")
    assert code == 0, err
    assert "nothing to do" in out + err, "a cascade's folders are named by the record"
