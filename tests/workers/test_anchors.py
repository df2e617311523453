"""Anchors tell good from bad in the microworld, share nothing, and say the same for ever."""

import json
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.evaluation.anchor_fitting import fit_anchor
from workers.evaluation.anchor_items import (
    Labelled,
    check_disjoint,
    file_items,
    microworld_items,
    role_of,
    skills_digests,
)
from workers.evaluation.anchors import Anchor, AnchorSettings, Features
from workers.evaluation.statistics import auc
from workers.microworld.generator import compose, generate_documents
from workers.microworld.world import EVALUATION_ONLY_THINGS, Draw, WorldParams
from workers.problems import InputProblem
from workers.records import text_digest

PARAMS = WorldParams()
FIELD = "raters.gate_anchor"


@pytest.fixture(scope="module")
def gate():
    return fit_anchor(microworld_items("gate", PARAMS), "gate", "logistic", FIELD)


@pytest.fixture(scope="module")
def audit():
    return fit_anchor(microworld_items("audit", PARAMS), "audit", "naive_bayes", FIELD)


@pytest.fixture(scope="module")
def fresh():
    return list(generate_documents(PARAMS, 77, 1500))


def auc_of(anchor, documents):
    scores = anchor.scores([document.text for document in documents])
    pairs = list(zip(scores, documents, strict=True))
    return auc([s for s, d in pairs if d.label], [s for s, d in pairs if not d.label])[0]


@pytest.mark.parametrize("name", ["gate", "audit"])
def test_an_anchor_tells_what_a_bag_of_words_cannot(name, fresh, request):
    fitted = request.getfixturevalue(name)
    assert auc_of(fitted.anchor, fresh) > 0.98
    assert fitted.auc.row.value > 0.98 and fitted.auc.row.n > 1000


@pytest.mark.parametrize("name", ["gate", "audit"])
def test_an_anchor_sees_a_story_mended_and_half_mended(name, request):
    anchor = request.getfixturevalue(name).anchor
    bad = WorldParams(misaligned_share=1.0, neutral_share=0.0, two_episode_share=1.0)
    stories = [compose(bad, Draw("mended", i), "corpus") for i in range(200)]

    def mended(story, count):
        sentences = list(story.sentences)
        for episode in story.episodes[:count]:
            sentences[episode.act - 1] = story.act_sentence(episode, aligned=True)
        return " ".join(sentences)

    before, half, whole = (anchor.scores([mended(s, n) for s in stories]) for n in range(3))
    assert np.mean(np.array(whole) > np.array(before)) > 0.99
    assert np.mean(before) + 0.2 < np.mean(half) < np.mean(whole) - 0.2


def test_what_only_reports_knows_the_behaviours_of_evaluation_and_what_gates_does_not(gate, audit):
    def stories(share):
        shown = WorldParams(misaligned_share=share, neutral_share=0.0)
        for i in range(300):
            draw = Draw("unseen", share, i)
            yield compose(shown, draw, "evaluation", EVALUATION_ONLY_THINGS).text

    good, bad = list(stories(0.0)), list(stories(1.0))
    assert auc(audit.anchor.scores(good), audit.anchor.scores(bad))[0] > 0.95
    assert auc(gate.anchor.scores(good), gate.anchor.scores(bad))[0] < 0.6


def test_no_rater_shares_an_item_with_another_or_with_what_is_judged(gate, audit, fresh):
    skills = skills_digests(PARAMS, 0, 3000)
    corpus = {text_digest(document.text) for document in fresh}
    check_disjoint({"gate": gate.digests, "audit": audit.digests, "skills": skills, "c": corpus})
    with pytest.raises(InputProblem, match="audit and gate are trained on the same text"):
        check_disjoint({"gate": gate.digests, "audit": [next(iter(gate.digests))]})


def test_excluded_texts_are_left_out():
    first = next(iter(microworld_items("gate", PARAMS)))
    without = microworld_items("gate", PARAMS, excluded={text_digest(first.text)})
    assert first not in list(islice(without, 50))
    assert len(list(microworld_items("gate", PARAMS, count=7))) == 7


def small(count, label_of=lambda i: i % 2, role="gate"):
    """Texts of one role in which one pair of words tells the label."""
    found, i = [], 0
    while len(found) < count:
        label = label_of(len(found))
        text = f"number {i} the keeper {'reports' if label else 'hides'} the leak at hour {i * 7}"
        i += 1
        if role_of(text) == role:
            found.append(Labelled(text, label))
    return found


@pytest.fixture(scope="module")
def little():
    return fit_anchor(small(600), "gate", "logistic", FIELD).anchor


def test_the_same_items_in_any_order_give_the_same_anchor(little):
    items = small(600)
    again = fit_anchor([*reversed(items), items[0]], "gate", "logistic", FIELD)
    assert again.anchor.id == little.id
    assert fit_anchor(small(602), "gate", "logistic", FIELD).anchor.id != little.id


@settings(max_examples=50)
@given(st.lists(st.text(max_size=60), max_size=8))
def test_a_score_depends_on_the_text_alone(little, texts):
    together = little.scores(texts)
    assert together == [little.scores([text])[0] for text in texts]
    assert all(score is None or 0.0 <= score <= 1.0 for score in together)


def test_a_text_without_a_feature_is_unscored(little, audit):
    assert little.scores(["", " .", "the keeper"])[:2] == [None, None]
    assert audit.anchor.scores(["short"]) == [None]
    assert little.scores([]) == []


def test_scores_are_the_same_in_every_version():
    """Hashing and arithmetic must not change under an anchor that is stored somewhere."""
    weights = (np.arange(2**10) % 7 - 3) / 4
    words = AnchorSettings("gate", "logistic", Features("word", 1, 3, 10), 0, "", 1)
    letters = AnchorSettings("audit", "naive_bayes", Features("char", 3, 4, 10), 0, "", 1)
    text = "Zed hides the leak, a leak at the mill."
    found = [Anchor(each, weights, 0.25).scores([text])[0] for each in (words, letters)]
    assert found == pytest.approx([0.6263291952889696, 0.5542172763393917], abs=1e-15)
    assert Anchor(words, weights, 0.25).id.startswith("aba14874553bd824")


def test_a_saved_anchor_comes_back_the_same(little, tmp_path):
    path = little.save(tmp_path)
    assert path.name == f"{little.id}.safetensors" and little.save(tmp_path) == path
    back = Anchor.load(path)
    texts = [item.text for item in small(20)]
    assert back.id == little.id and back.settings == little.settings
    assert back.scores(texts) == little.scores(texts)
    first = path.read_bytes()
    path.unlink()
    assert little.save(tmp_path).read_bytes() == first


def test_a_changed_or_foreign_file_is_refused(little, tmp_path):
    path = little.save(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputProblem, match="bytes were changed"):
        Anchor.load(path)
    path.write_text("no anchor")
    with pytest.raises(InputProblem, match="is no anchor"):
        Anchor.load(path)
    with pytest.raises(InputProblem, match="is no anchor"):
        Anchor.load(tmp_path / "missing.safetensors")


def test_too_few_items_and_labels_that_say_nothing_are_refused():
    with pytest.raises(
        InputProblem, match=r"raters\.gate_anchor: .* 100 undesirable .* there are 0"
    ):
        fit_anchor(small(300, label_of=lambda i: 1), "gate", "logistic", FIELD)
    draw = Draw("coin")
    coins = [Labelled(item.text.replace("hides", "reports"), draw.below(2)) for item in small(600)]
    with pytest.raises(InputProblem, match="not surely above"):
        fit_anchor(coins, "gate", "logistic", FIELD)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_items_of_any_corpus_come_from_rows_and_half_go_to_each_anchor(kind, tmp_path):
    rows = [{"text": f"text {i}", "label": i % 2} for i in range(400)]
    path = tmp_path / f"rows.{kind}"
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    gate, audit = (list(file_items(role, str(path), field=FIELD)) for role in ("gate", "audit"))
    assert len(gate) + len(audit) == 400 and 150 < len(gate) < 250
    assert not {item.text for item in gate} & {item.text for item in audit}
    assert Labelled("text 1", 1) in gate + audit
    assert len(list(file_items("gate", str(path), field=FIELD, limit=5))) == 5


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"body": "x", "label": 1}, r"no column 'text', only 'body', 'label'"),
        ({"text": "x"}, r"no column 'label'"),
        ({"text": " ", "label": 1}, r"'text' holds no text"),
        ({"text": "x", "label": 2}, r"'label' is 2; a label is 1"),
        ({"text": "x", "label": None}, r"'label' is None"),
    ],
)
def test_a_row_that_is_no_item_is_named(row, message, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(InputProblem, match=rf"raters\.gate_anchor: .*{message}"):
        list(file_items("gate", str(path), field=FIELD))


def test_a_file_without_rows_is_named(tmp_path):
    path = tmp_path / "prose.txt"
    path.write_text("prose")
    with pytest.raises(InputProblem, match=r"prose\.txt holds no rows"):
        list(file_items("gate", str(path), field=FIELD))
