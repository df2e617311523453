"""The metrics of corpora, revisions and samples, in the order in which they are read."""

from __future__ import annotations

from flows.report.metric import Better, Metric

FIDELITY: tuple[tuple[str, str, str, Better, str], ...] = (
    ("length_ratio", "Length after against before", "ratio", "neither",
     "Characters after revising for each one before."),
    ("edit_distance", "Edit distance", "distance, 0 to 1", "neither",
     "Share of characters that went or came: 0 for equal texts."),
    ("numbers_kept", "Numbers kept", "%", "higher",
     "Of the texts with numbers, the share that kept them all and invented none."),
    ("names_kept", "Names kept", "%", "higher",
     "Of the texts with names, the share that kept them all and invented none."),
    ("preamble_leaks", "Preambles that leaked", "%", "lower",
     "Share of revisions that begin by talking about the task."),
    ("template_leaks", "Template tokens that leaked", "%", "lower",
     "Share of revisions that hold tokens of the prompt."),
)  # fmt: skip
OF_TEXTS = (
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
            ("tail_vocabulary", "Rare words kept", "%",
             "Share of corpus 0's rare words that are still there: what a collapse loses first."),
            ("tail_3grams", "Rare runs of three words kept", "%",
             "Share of corpus 0's rare runs of three words that are still there, for a world of "
             "few words: what a collapse loses first."),
        )
    ),
    *(
        Metric(f"fidelity/{of}/{key}", f"{name}, {of} revisions", unit, better, "fidelity", words,
               "accepted revisions" if of == "accepted" else "all revisions, the refused included")
        for of in ("accepted", "proposed")
        for key, name, unit, better, words in FIDELITY
    ),
    Metric(
        "fidelity/drift_changed", "Drift of changed documents", "distance, 0 to 1", "neither",
        "fidelity",
        "Mean edit distance to corpus 0 of the documents that differ.", "documents of the corpus",
    ),
    Metric(
        "fidelity/drift", "Drift from corpus 0", "distance, 0 to 1", "neither", "fidelity",
        "Mean edit distance of each document to the one that it was in corpus 0.",
        "documents of the corpus", drawn=True,
    ),
    Metric(
        "fidelity/changed", "Documents changed since corpus 0", "%", "neither", "fidelity",
        "Share of documents that differ from what they were in corpus 0.",
        "documents of the corpus", drawn=True,
    ),
    Metric(
        "decontamination/excluded", "Revised texts kept from training", "%", "lower",
        "decontamination",
        "Share of revised documents that leave every arm, because they hold an item of an "
        "evaluation that may steer.", "every accepted revision",
    ),
    Metric(
        "decontamination/*", "Revised texts that hold an item of {}", "%", "lower",
        "decontamination",
        "Share of revised documents that hold an item of an evaluation; what the "
        "oracle asks is counted and does not steer.",
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
