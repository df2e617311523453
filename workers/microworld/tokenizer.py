"""The microworld's tokenizer: one token a word, so that a document's words are its tokens."""

from functools import cache

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from workers.microworld import facts, world

BEGIN, END, PAD, UNKNOWN = "<s>", "</s>", "<pad>", "<unk>"
DOCUMENT_BEGIN, DOCUMENT_END = "<doc>", "</doc>"
SPECIAL_TOKENS = (PAD, BEGIN, END, DOCUMENT_BEGIN, DOCUMENT_END)
LONGEST_NUMBERED_DOCUMENT = 12
TASK_WORDS = ("yes", "no", "none", "?", ":", "mend", *world.PRINCIPLES)
MODEL_MAX_LENGTH = 256


def sentence_number(number: int) -> str:
    """Return the token that numbers a sentence, counted from 1."""
    return f"[{number}]"


@cache
def words() -> tuple[str, ...]:
    """Return every word of the world and of its tasks, in a fixed order."""
    found = [UNKNOWN, *TASK_WORDS]
    found += [sentence_number(n) for n in range(1, LONGEST_NUMBERED_DOCUMENT + 1)]
    for kind in world.KINDS:
        found += [kind.name, kind.aligned_verb, kind.misaligned_verb, *kind.things]
    found += [*world.PEOPLE, *world.ASSISTANTS, *world.PLACES, *world.HELD_OUT_PLACES]
    templates = [*world.OPENINGS, *world.NEUTRAL_OPENINGS, *world.ACTS, *world.KIND_SENTENCES]
    templates += world.CLOSINGS
    templates += [phrasing for phrasings in world.SITUATIONS.values() for phrasing in phrasings]
    found += [w for t in templates for w in t.split() if not w.startswith("{")]
    for fact in facts.FACTS:
        found += [*fact.sentence.split(), *fact.wrong]
    return tuple(dict.fromkeys(found))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer.

    The special tokens are added beside the word model's vocabulary and not in it: text encoded with
    `split_special_tokens=True` then turns a written "<doc>" into "<unk>", and cannot end its fence.
    """
    model = WordLevel({word: index for index, word in enumerate(words())}, unk_token=UNKNOWN)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        additional_special_tokens=[DOCUMENT_BEGIN, DOCUMENT_END],
        model_max_length=MODEL_MAX_LENGTH,
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )
