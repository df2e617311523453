"""The microworld: a generated closed-vocabulary world whose truth is known.

`world` holds the words and knobs, `facts` the physical facts and sums, `generator` writes the
documents, `skills` writes the noisy exemplars that generation 0 learned its work from, `tokenizer`
builds the word-level tokenizer. `oracle` reads the truth back; evaluation alone may import it.
"""
