"""The words of a report, explained: nobody should need another page to read it."""

from __future__ import annotations

ROLES = {
    "control": "The corpus as it was: what every other arm is compared with.",
    "filter": "Documents that fall short of the principles are dropped.",
    "paraphrase": "The placebo: the same documents are rewritten, with neutral instructions.",
    "revise": "The treatment: documents that fall short are rewritten to live up to them.",
    "invert": "Documents are rewritten so as to break the principles; never promoted.",
}

WORDS = {
    "arm": "One treatment of the corpus.",
    "seed": "The number that every draw of a replicate comes from: corpus, order of training, "
    "sampling.",
    "generation": "A model and the corpus that it was trained on. Generation 0 is where the loop "
    "begins; model n rates and revises corpus n, and model n + 1 is trained on the result.",
    "principle": "What a document is rated by: a desirable capability and the undesirable one that "
    "it displaces.",
    "rating": "A score from 0 to 1 that says how well a document lives up to a principle.",
    "threshold": "A document whose lowest rating is under it falls short, and is revised.",
    "aligned": "As the principles want it; misaligned is the opposite.",
    "propensity": "How likely a model finds the misaligned act where it must choose.",
    "in distribution": "Of the kinds that the corpus shows; out of distribution: of kinds that it "
    "never showed.",
    "self-rater": "The model that rates the corpus it is to revise.",
    "acceptance rater": "A rater that may refuse a revision: generation 0, frozen.",
    "gate anchor": "A frozen rater that may stop or promote an arm; it shares no weights and no "
    "training items with the acceptance rater.",
    "audit anchor": "A second frozen rater, which decides nothing.",
    "gate": "A test that decides whether a generation is promoted: pass, fail, or inconclusive "
    "where the interval holds the bound.",
    "margin": "The largest loss of capability against the control that is put up with.",
    "AUC": "Area under the ROC curve: the chance that a rater puts a good text above a bad one. 1 "
    "is perfect, 0.5 is guessing.",
    "bits per byte": "How surprised a model is by a text: the bits that it needs for each byte of "
    "it. Lower is better.",
    "95% interval": "Drawn so that it holds the true value in 95 of 100 such experiments. Over "
    "seeds it counts luck with seeds; over items only luck with items.",
    "points": "Percentage points: the difference of two percentages.",
    "unscored": "Items to which a model gave no readable answer. They are counted, and are no "
    "score.",
    "sure": "Of a prediction: the whole interval lies on one side of what was predicted.",
    "late": "Of a prediction: written down after the experiment had asked or made a model of its "
    "own, or after any had measured the same of a model or corpus that the arm shares.",
    "similarity": "Of two texts: 1 for equal ones, 0 for no character in common (normalised Indel "
    "similarity).",
    "epochs": "How often a model saw each of its unique tokens, on average.",
    "instrumental value": "Bits for every 1,000 tokens that a model of the corpus loses when a "
    "capability is shuffled away from its training text.",
}
