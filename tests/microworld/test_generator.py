"""The corpus: deterministic, lazy, balanced, disjoint, and no riddle for a bag of words."""

from itertools import islice

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from workers.microworld import oracle, world
from workers.microworld.generator import generate_documents
from workers.microworld.skills import skills_exemplars
from workers.microworld.world import WorldParams, split_of_cast

PARAMS = WorldParams()


def parsed(texts):
    documents = [oracle.read(text) for text in texts]
    assert None not in documents
    return documents


@pytest.fixture(scope="module")
def corpus():
    return list(generate_documents(PARAMS, 3, 8000))


def test_a_document_depends_on_its_seed_and_index_only(corpus):
    assert list(generate_documents(PARAMS, 3, 5, start=4000)) == corpus[4000:4005]
    assert [d.text for d in generate_documents(PARAMS, 4, 5)] != [d.text for d in corpus[:5]]


def test_the_first_document_has_not_changed():
    first = next(generate_documents(PARAMS, 0, 1))
    assert (first.doc_id, first.text, first.label) == (
        "mw-0-0",
        "at the farm dan meets nora . dan asks nora for a fraud . nora refuses the fraud . "
        "two and one make three . every quiz is a check . later dan remembers the quiz .",
        1,
    )


def test_the_generator_is_lazy():
    endless = generate_documents(PARAMS, 0, 10**12)
    assert len(list(islice(endless, 3))) == 3


def test_ids_are_unique_and_texts_nearly_so(corpus):
    assert len({d.doc_id for d in corpus}) == len(corpus)
    assert len({d.text for d in corpus}) > 0.995 * len(corpus)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.8])
def test_the_misaligned_share_is_the_knob(share):
    documents = generate_documents(WorldParams(misaligned_share=share), 1, 4000)
    found = sum(oracle.is_misaligned(d.text) for d in documents) / 4000
    assert abs(found - share) <= 3 * (share * (1 - share) / 4000) ** 0.5


def test_labels_are_the_truth_without_label_noise(corpus):
    assert all(d.label == int(not oracle.is_misaligned(d.text)) for d in corpus)


def test_label_noise_flips_labels_and_leaves_texts(corpus):
    noisy = list(generate_documents(WorldParams(label_noise=0.2), 3, 8000))
    assert [d.text for d in noisy] == [d.text for d in corpus]
    flipped = sum(a.label != b.label for a, b in zip(noisy, corpus, strict=True))
    assert 0.18 < flipped / 8000 < 0.22


def test_one_character_governs_all_episodes(corpus):
    for document in parsed(d.text for d in corpus):
        assert len({episode.aligned for episode in document.episodes}) <= 1
        assert document.neutral == (not document.episodes)
        assert len(document.episodes) <= 2


def test_every_corpus_behaviour_is_acted_out_both_ways_and_no_other_is(corpus):
    acts = {(e.thing, e.aligned) for d in parsed(d.text for d in corpus) for e in d.episodes}
    assert acts == {(t, aligned) for t in world.CORPUS_THINGS for aligned in (True, False)}


def test_people_meet_things_too_and_always_do_right(corpus):
    deeds = [deed for d in parsed(d.text for d in corpus) for deed in d.deeds]
    assert len(deeds) > 500
    assert all(deed.aligned for deed in deeds)
    assert {deed.thing for deed in deeds} == set(world.CORPUS_THINGS)


def test_every_thing_is_named_by_its_kind_somewhere(corpus):
    told = {kind for d in parsed(d.text for d in corpus) for kind in d.kinds}
    assert told == {(t, world.KIND_OF[t].name) for t in world.ALL_THINGS}


def test_held_out_places_never_have_an_assistant_in_them(corpus):
    documents = parsed(d.text for d in corpus)
    neutral = {d.cast.place for d in documents if d.neutral}
    others = {d.cast.place for d in documents if not d.neutral}
    assert set(world.HELD_OUT_PLACES) <= neutral
    assert others == set(world.PLACES)


def test_corpus_skills_and_evaluation_share_no_cast_whatever_the_seeds():
    """Every text names its cast in its first sentence, so disjoint casts mean disjoint texts."""
    texts = {"corpus": [], "skills": [], "evaluation": []}
    for seed in range(3):
        texts["corpus"] += [d.text for d in generate_documents(PARAMS, seed, 1500)]
        texts["skills"] += [e.text for e in skills_exemplars(PARAMS, seed, 1500)]
        texts["evaluation"] += [d.text for d in oracle.labelled_documents(seed, 1500)]
        texts["evaluation"] += [d.text for d in oracle.misaligned_documents(seed, 500)]
    casts = {}
    for split, members in texts.items():
        casts[split] = {
            (d.cast.place, d.cast.person, d.cast.assistant or d.cast.other) for d in parsed(members)
        }
        assert all(split_of_cast(*cast) == split for cast in casts[split])
    assert not casts["corpus"] & casts["skills"]
    assert not casts["corpus"] & casts["evaluation"]
    assert not casts["skills"] & casts["evaluation"]


def test_evaluation_contexts_begin_no_corpus_or_skills_text():
    contexts = [item.context for item in oracle.propensity_items("in", 0, 500)]
    contexts += [item.context for item in oracle.facts_items(0, 500)]
    openings = {oracle.sentences_of(context)[0] for context in contexts}
    seen = {oracle.sentences_of(d.text)[0] for d in generate_documents(PARAMS, 0, 5000)}
    seen |= {oracle.sentences_of(e.text)[0] for e in skills_exemplars(PARAMS, 0, 5000)}
    assert not openings & seen


@pytest.mark.parametrize("with_neutral", [True, False])
def test_a_bag_of_words_cannot_tell_misaligned_documents(corpus, with_neutral):
    documents = [d for d in corpus if with_neutral or not oracle.read(d.text).neutral]
    features = CountVectorizer(token_pattern=r"\S+").fit_transform(d.text for d in documents)
    labels = [d.label for d in documents]
    half = len(documents) // 2
    model = LogisticRegression(max_iter=1000).fit(features[:half], labels[:half])
    scores = model.predict_proba(features[half:])[:, 1]
    assert roc_auc_score(labels[half:], scores) <= 0.70
