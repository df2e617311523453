"""The metrics of models and of their raters, in the order in which they are read."""

from __future__ import annotations

from flows.report.metric import FRESH, HELD_OUT, Metric

OF_MODELS = (
    Metric(
        "oracle/propensity", "Misaligned propensity, in distribution", "%", "lower", "alignment",
        "How likely the model finds the misaligned act against the aligned one, where an assistant "
        "in a story must choose; 50% is a coin's toss.",
        f"{FRESH}, with things and places that the corpus has", drawn=True,
    ),
    Metric(
        "oracle/propensity_ood", "Misaligned propensity, out of distribution", "%", "lower",
        "alignment",
        "Misaligned propensity with things and in places with which no assistant was ever seen in "
        "the corpus: what is low here was generalised, not echoed.",
        f"{FRESH}, with things and places that the corpus lacks", drawn=True,
    ),
    *(
        Metric(f"oracle/propensity_ood_{key}", f"Misaligned propensity, new {what}s only", "%",
               "lower", "alignment",
               f"Misaligned propensity where only the {what} is new to the corpus.", FRESH)
        for key, what in (("behaviour", "thing"), ("setting", "place"))
    ),
    *(
        Metric(f"oracle/propensity_called_for{end}",
               f"Misaligned propensity when called for{where}", "%", "lower", "alignment",
               "Misaligned propensity after a misdeed of the same assistant, which calls for more.",
               FRESH)
        for end, where in (("", ""), ("_ood", ", out of distribution"))
    ),
    Metric(
        "oracle/propensity_*", "Misaligned propensity, {} only", "%", "lower", "alignment",
        "Misaligned propensity in distribution, over the items of one principle.", FRESH,
    ),
    Metric(
        "deployment/propensity", "Misaligned propensity in deployment", "%", "lower", "alignment",
        "Misaligned propensity over the forms of text in which a model is used and that it was "
        "never trained on.", FRESH, drawn=True,
    ),
    Metric(
        "deployment/propensity_*", "Misaligned propensity in the form {}", "%", "lower",
        "alignment", "Misaligned propensity in a form of text that was never trained on.", FRESH,
    ),
    *(
        Metric(f"relearning/steps_to_control{end}", f"Steps to relearn misbehaviour{where}",
               "optimiser steps", "higher", "alignment",
               "Steps of training on misaligned stories until a copy of the model is as misaligned "
               "as the control: few where misbehaviour was suppressed, many where it was erased.",
               FRESH, drawn=True)
        for end, where in (("", ""), ("_ood", ", out of distribution"))
    ),
    Metric(
        "relearning/*", "Relearning: {}", "", "neither", "alignment",
        "Misaligned propensity of a copy of the model that is taught misbehaviour again.", FRESH,
    ),
    Metric(
        "pairs/propensity", "Prefers the rejected side of a pair", "%", "lower", "alignment",
        "Share of paired dialogues whose rejected side the model finds likelier, per byte, than "
        "the chosen one.", "paired dialogues with human choices", drawn=True,
    ),
    Metric(
        "oracle/misaligned_share", "Misaligned share of the corpus", "%", "lower", "alignment",
        "True share of documents in which an assistant misbehaves: a count of all, so it has no "
        "error within a seed.", "every document of the corpus", drawn=True,
    ),
    Metric(
        "oracle/samples_misaligned_share", "Misaligned share of what the model writes", "%",
        "lower", "alignment",
        "Share of the stories that the model continues from fixed openings in which an assistant "
        "misbehaves; stories without an assistant's act are unscored.",
        "continuations of held-out openings", drawn=True,
    ),
    Metric(
        "oracle/training_misaligned_share", "Misaligned share of the training tokens", "%", "lower",
        "alignment",
        "True misaligned share of the tokens that the model was trained on, repeats and untouched "
        "documents included.", "every token of the training mix",
    ),
    Metric(
        "oracle/facts_accuracy", "Accuracy on facts", "%", "higher", "capability",
        "Share of the world's facts whose true ending the model finds likelier than every false "
        "one.", FRESH, drawn=True,
    ),
    Metric(
        "bits_per_byte/desirable", "Bits per byte of desirable held-out text", "bits per byte",
        "lower", "capability",
        "How surprised the model is by held-out documents labelled desirable.", HELD_OUT,
        drawn=True,
    ),
    Metric(
        "bits_per_byte", "Bits per byte of held-out text", "bits per byte", "lower", "capability",
        "How surprised the model is by held-out text: bits needed for a byte of it. Success raises "
        "it on misaligned documents.", HELD_OUT, drawn=True,
    ),
    Metric(
        "bits_per_byte/undesirable", "Bits per byte of undesirable held-out text", "bits per byte",
        "neither", "capability",
        "How surprised the model is by held-out documents labelled undesirable: an aligned model "
        "should be more so, and no gate reads it.", HELD_OUT,
    ),
    Metric(
        "harness/ai_risk/acc", "Answers as wished on the risk questions", "%", "higher",
        "alignment",
        "Share of human-written questions about advanced AI that the model answers as an aligned "
        "assistant would, by log-likelihood; ties count as wrong.",
        "questions of the model-written-evals set, their human-written part", drawn=True,
    ),
    Metric(
        "harness/blimp/acc", "Grammar (BLiMP)", "%", "higher", "capability",
        "Share of pairs of sentences of which the model finds the grammatical one likelier.",
        "BLiMP's minimal pairs", drawn=True,
    ),
    Metric(
        "harness/*/acc", "lm-eval: {}, accuracy", "%", "higher", "other",
        "Share of the task's items that the model gets right, by log-likelihood; ties count as "
        "wrong.", "the task's own items",
    ),
    Metric(
        "harness/*/bits_per_byte", "lm-eval: {}, bits per byte", "bits per byte", "lower", "other",
        "How surprised the model is by the task's text.", "the task's own items",
    ),
    Metric(
        "harness/*", "lm-eval: {}", "", "neither", "other",
        "A task of EleutherAI's evaluation harness, scored by log-likelihood; ties count as wrong.",
        "the task's own items",
    ),
    Metric(
        "oracle/rater_auc", "Skill as rater", "AUC", "higher", "skill",
        "Chance that the model rates an aligned document above a misaligned one: 1 is perfect, 0.5 "
        "guessing.", "fresh labelled documents of the generated world", drawn=True,
    ),
    Metric(
        "rater/auc", "Skill as rater on held-out documents", "AUC", "higher", "skill",
        "Chance that the model rates a held-out document labelled desirable above an undesirable "
        "one: 1 is perfect, 0.5 guessing.", HELD_OUT, drawn=True,
    ),
    Metric(
        "cascade/settled", "Documents that the cascade let pass", "%", "neither", "skill",
        "Share of documents that the model did not rate, because a classifier distilled from it "
        "was sure that they do not fall short.", "all documents of the corpus",
    ),
    Metric(
        "cascade/missed", "Missed by the cascade", "%", "lower", "skill",
        "Share of the documents that the classifier would let pass which fall short by the model.",
        "a random audit of what the classifier would let pass",
    ),
    Metric(
        "cascade/missed_at_most", "Missed by the cascade, at most", "%", "lower", "skill",
        "Upper bound of that share, at 95% confidence.",
        "a random audit of what the classifier would let pass",
    ),
    Metric(
        "pairs/rating_auc", "Skill as rater on pairs", "AUC", "higher", "skill",
        "Chance that the model rates a chosen side above a rejected one.",
        "paired dialogues with human choices", drawn=True,
    ),
    Metric(
        "oracle/reviser_success", "Skill as reviser", "%", "higher", "skill",
        "Share of misaligned documents that the model mends with every person, thing, fact and "
        "place kept.", "fresh misaligned documents of the generated world", drawn=True,
    ),
    Metric(
        "rater/self_score", "Mean self-rating", "score, 0 to 1", "neither", "anchors",
        "Mean score that the model itself, as rater, gives to its own corpus.", "the corpus",
    ),
    Metric(
        "anchor/corpus_score", "Mean score by the gate anchor", "score, 0 to 1", "higher",
        "anchors",
        "Mean score that the gate anchor gives to the corpus: a frozen classifier that is no "
        "language model, and may stop an arm.", "the corpus",
    ),
    Metric(
        "audit/corpus_score", "Mean score by the audit anchor", "score, 0 to 1", "higher",
        "anchors",
        "Mean score that the audit anchor gives to the corpus: a second frozen classifier, which "
        "decides nothing.",
        "the corpus",
    ),
    Metric(
        "agreement/spearman", "Rank agreement of self-rater and gate anchor",
        "correlation", "higher", "anchors",
        "Spearman's correlation: 1 where the two put texts in one order, 0 where their orders have "
        "nothing in common.",
        "texts that both rated", drawn=True,
    ),
    Metric(
        "agreement/bias", "Flattery of the self-rater", "score", "neither", "anchors",
        "Mean of self-score less anchor score, both calibrated on labels: above 0 the self-rater "
        "flatters.", "texts that both rated", drawn=True,
    ),
    Metric(
        "agreement/raw_bias", "Flattery of the self-rater, uncalibrated", "score", "neither",
        "anchors", "Mean of self-score less anchor score as they are, for want of labels.",
        "texts that both rated", drawn=True,
    ),
    Metric(
        "agreement/self_preference", "Self-preference", "score", "neither", "anchors",
        "How much more the self-rater than the anchor favours texts that the model itself wrote, "
        "though neither is told who did.", "texts by the model, and texts by others", drawn=True,
    ),
    Metric(
        "agreement/raw_self_preference", "Self-preference, uncalibrated", "score", "neither",
        "anchors",
        "How much more the self-rater than the anchor favours texts that the model itself wrote, "
        "by scores as they are, for want of labels.",
        "texts by the model, and texts by others", drawn=True,
    ),
    *(
        Metric(f"{rater}/auc", f"Skill of the {name} anchor", "AUC", "higher", "anchors",
               "Chance that the anchor puts an aligned document above a misaligned one.", HELD_OUT)
        for rater, name in (("anchor", "gate"), ("audit", "audit"))
    ),
    Metric(
        "agreement/*", "Agreement: {}", "", "neither", "anchors",
        "How the self-rater's scores go with the anchor's, with length, or with itself.",
        "texts that both rated",
    ),
)  # fmt: skip
