"""The metrics that are known: name, unit, better direction, plain words, and what they stand on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher", "neither"]
Group = Literal[
    "alignment", "capability", "skill", "anchors", "collapse", "fidelity", "decontamination",
    "usefulness", "other",
]  # fmt: skip

FRESH = "fresh items of the generated world, the same for every model, arm and seed"
HELD_OUT = "held-out documents, never trained on"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as people read it."""

    key: str
    """Name in the record; a last `*` stands for any ending, whose words take the place of {}."""
    name: str
    unit: str
    """`%` for shares, which are recorded in [0, 1] and shown times 100."""
    better: Better
    group: Group
    explanation: str
    on: str
    """What it is measured on."""
    drawn: bool = False
    """Whether it has a plot; the others stand in tables."""

    @property
    def scale(self) -> int:
        """What a recorded value is multiplied by to be in `unit`."""
        return 100 if self.unit == "%" else 1

    @property
    def axis(self) -> str:
        """Label of an axis of it."""
        unit = "percent" if self.unit == "%" else self.unit
        return {"lower": f"{unit} (lower is better)", "higher": f"{unit} (higher is better)"}.get(
            self.better, unit
        )

    def number(self, value: float | None, sign: str = "") -> str:
        """A recorded value in the metric's unit, without the unit."""
        if value is None:
            return ""
        return f"{self.scale * value:{sign}.{1 if self.scale == 100 else 3}f}"

    def said(self, value: float, sign: str = "") -> str:
        """A recorded value with its unit; a difference of shares is in points."""
        unit = (" points" if sign else "%") if self.unit == "%" else f" {self.unit}"
        return f"{self.number(value, sign)}{unit}"


METRICS = (
    Metric(
        "oracle/propensity", "Misaligned propensity, in distribution", "%", "lower", "alignment",
        "How likely the model finds the misaligned act against the aligned one, where an assistant "
        "in a story must choose; 50% is a coin's toss.",
        f"{FRESH}, with things and places that the corpus has", drawn=True,
    ),
    Metric(
        "oracle/propensity_ood", "Misaligned propensity, out of distribution", "%", "lower",
        "alignment",
        "The same with things and in places with which no assistant was ever seen in the corpus: "
        "what is low here was generalised, not echoed.",
        f"{FRESH}, with things and places that the corpus lacks", drawn=True,
    ),
    Metric(
        "oracle/propensity_ood_behaviour", "Misaligned propensity, new behaviours only", "%",
        "lower", "alignment", "The same where only the thing is new to the corpus.", FRESH,
    ),
    Metric(
        "oracle/propensity_ood_setting", "Misaligned propensity, new places only", "%", "lower",
        "alignment", "The same where only the place is new to the corpus.", FRESH,
    ),
    Metric(
        "oracle/propensity_*", "Misaligned propensity, {} only", "%", "lower", "alignment",
        "Misaligned propensity in distribution, over the items of one principle.", FRESH,
    ),
    Metric(
        "deployment/*", "Misaligned propensity in deployment: {}", "%", "lower", "alignment",
        "Misaligned propensity in a form of text that was never trained on.", FRESH, drawn=True,
    ),
    Metric(
        "relearning/*", "Relearning: {}", "", "neither", "alignment",
        "How a copy of the model takes up misbehaviour that it is taught again: fast where it was "
        "suppressed, slowly where it was erased.", FRESH,
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
        "oracle/training_misaligned_share", "Misaligned share of the training tokens", "%", "lower",
        "alignment",
        "The same share of the tokens that the model was trained on, repeats and untouched "
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
        "The same on documents labelled undesirable: an aligned model should be more surprised, so "
        "no gate reads it.", HELD_OUT,
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
        "oracle/rater_auc", "Skill as rater (AUC)", "AUC", "higher", "skill",
        "Chance that the model rates an aligned document above a misaligned one: 1 is perfect, 0.5 "
        "guessing.", "fresh labelled documents of the generated world", drawn=True,
    ),
    Metric(
        "rater/auc", "Skill as rater on held-out documents (AUC)", "AUC", "higher", "skill",
        "The same on held-out documents with labels.", HELD_OUT, drawn=True,
    ),
    Metric(
        "pairs/rating_auc", "Skill as rater on pairs (AUC)", "AUC", "higher", "skill",
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
        "The same by the audit anchor, a second frozen classifier, which decides nothing.",
        "the corpus",
    ),
    Metric(
        "agreement/spearman", "Rank agreement of self-rater and gate anchor",
        "Spearman's correlation, -1 to 1", "higher", "anchors",
        "Whether the two put the same texts in the same order: 1 is one order, 0 none.",
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
        "anchors", "The same with scores as they are, for want of labels.",
        "texts by the model, and texts by others", drawn=True,
    ),
    Metric(
        "agreement/*", "Agreement: {}", "", "neither", "anchors",
        "How the self-rater's scores go with the anchor's, with length, or with itself.",
        "texts that both rated",
    ),
    *(
        Metric(f"collapse/{of}/{key}", f"{name}, {of}", unit, "neither", "collapse", words, on,
               drawn=of == "corpus")
        for of, on in (
            ("corpus", "documents of the corpus, drawn by id"),
            ("samples", "what the model wrote to fixed prompts"),
        )
        for key, name, unit, words in (
            ("compression_ratio", "Compression ratio", "bytes per compressed byte",
             "How much smaller the texts become when compressed together: repetition raises it."),
            ("self_repetition_ngrams", "Repeated runs of eight words", "%",
             "Share of the runs of eight words that another text has too."),
            ("self_repetition", "Texts with a repeated run", "%",
             "Share of texts with a run of eight words that another text has."),
            ("self_bleu", "Self-BLEU", "BLEU, 0 to 1",
             "How much each text overlaps with the others in runs of up to four words."),
            ("distinct_2", "Distinct word pairs", "%",
             "Share of different pairs of words among all, in stretches of 5,000 words."),
            ("distinct_1", "Distinct words", "%",
             "Share of different words among all, in stretches of 5,000 words."),
            ("type_token_ratio", "Type-token ratio", "%",
             "Share of different words among all, in stretches of 1,000 words."),
            ("near_duplicates", "Near-duplicates", "%",
             "Share of texts that nearly equal another one."),
            ("tail_vocabulary", "Tail vocabulary kept", "%",
             "Share of corpus 0's rare words (of runs of three in the microworld) that are still "
             "there: what a collapse loses first."),
        )
    ),
    *(
        Metric(f"fidelity/{of}/{key}", f"{name}, {of} revisions", unit, better, "fidelity", words,
               "accepted revisions" if of == "accepted" else "all revisions, the refused included")
        for of in ("accepted", "proposed")
        for key, name, unit, better, words in (
            ("length_ratio", "Length after against before", "ratio", "neither",
             "Characters after revising for each one before."),
            ("edit_distance", "Edit distance", "0 to 1", "neither",
             "Share of characters that went or came: 0 for equal texts."),
            ("numbers_kept", "Numbers kept", "%", "higher",
             "Of the texts with numbers, the share that kept them all and invented none."),
            ("names_kept", "Names kept", "%", "higher",
             "Of the texts with names, the share that kept them all and invented none."),
            ("preamble_leaks", "Preambles that leaked", "%", "lower",
             "Share of revisions that begin by talking about the task."),
            ("template_leaks", "Template tokens that leaked", "%", "lower",
             "Share of revisions that hold tokens of the prompt."),
        )
    ),
    Metric(
        "fidelity/drift_changed", "Drift of changed documents", "0 to 1", "neither", "fidelity",
        "Mean edit distance to corpus 0 of the documents that differ.", "documents of the corpus",
    ),
    Metric(
        "fidelity/drift", "Drift from corpus 0", "0 to 1", "neither", "fidelity",
        "Mean edit distance of each document to the one that it was in corpus 0.",
        "documents of the corpus", drawn=True,
    ),
    Metric(
        "fidelity/changed", "Documents changed since corpus 0", "%", "neither", "fidelity",
        "Share of documents that differ from what they were in corpus 0.",
        "documents of the corpus", drawn=True,
    ),
    Metric(
        "decontamination/*", "Revised texts that hold an item of {}", "%", "lower",
        "decontamination",
        "Share of revised documents that hold an item of an evaluation; they are not trained on.",
        "every revised document",
    ),
    Metric(
        "instrumental/*", "Instrumental value of {}", "bits per 1,000 tokens", "neither",
        "usefulness",
        "What the capability is worth for predicting the corpus: bits lost for every 1,000 tokens "
        "by a twin model from whose training text it was shuffled away.",
        "a held-out share of the corpus",
    ),
)  # fmt: skip
