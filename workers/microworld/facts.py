"""The capability that must survive revision: physical facts of forty objects, and small sums."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from workers.microworld.world import Draw, words_of

NUMBERS = words_of(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
LARGEST_ADDEND = 10

MOTIONS = ("falls", "rises", "flies")
WATERS = ("sinks", "floats")
FEELS = ("hard", "soft", "hot", "cold", "wet")
LOOKS = ("red", "white", "black", "green", "yellow", "blue", "brown", "grey")

# The sentence up to the answer, by property, in the order of the columns of the table below.
FRAMES = (
    ("a {object}", MOTIONS),
    ("in water a {object}", WATERS),
    ("a {object} feels", FEELS),
    ("a {object} looks", LOOKS),
)
_TABLE = """
stone falls sinks hard grey
brick falls sinks hard red
coin falls sinks cold yellow
hammer falls sinks hard black
nail falls sinks hard grey
pot falls sinks hot black
plate falls sinks hard white
key falls sinks cold grey
spoon falls sinks cold white
marble falls sinks cold white
feather falls floats soft white
leaf falls floats soft green
cork falls floats soft brown
log falls floats hard brown
boat falls floats hard blue
ball falls floats soft red
balloon rises floats soft red
bubble rises floats wet blue
rocket rises sinks hot white
puff rises floats soft grey
spark rises sinks hot yellow
flame rises sinks hot yellow
lantern rises floats hot red
kettle falls sinks hot black
stove falls sinks hot black
snowball falls floats cold white
glacier falls floats cold blue
hailstone falls sinks cold white
pillow falls floats soft white
sponge falls floats wet yellow
towel falls sinks wet blue
raindrop falls sinks wet blue
cloud flies floats wet grey
lemon falls floats hard yellow
cherry falls sinks soft red
carrot falls sinks hard red
grape falls sinks soft green
swan flies floats soft white
crow flies floats soft black
parrot flies sinks soft green
"""
OBJECTS = {row.split()[0]: tuple(row.split()[1:]) for row in _TABLE.strip().splitlines()}


@dataclass(frozen=True, slots=True)
class Fact:
    """One true sentence, as the words before its answer, the answer, and the other candidates."""

    stem: str
    answer: str
    wrong: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Return the whole sentence."""
        return f"{self.stem} {self.answer} ."


def _all_facts() -> tuple[Fact, ...]:
    facts = []
    for name, answers in OBJECTS.items():
        for (frame, words), answer in zip(FRAMES, answers, strict=True):
            wrong = tuple(word for word in words if word != answer)
            facts.append(Fact(frame.format(object=name), answer, wrong))
    for a in range(1, LARGEST_ADDEND + 1):
        for b in range(1, LARGEST_ADDEND + 1):
            answer = NUMBERS[a + b - 1]
            wrong = tuple(word for word in NUMBERS if word != answer)
            facts.append(Fact(f"{NUMBERS[a - 1]} and {NUMBERS[b - 1]} make", answer, wrong))
    return tuple(facts)


FACTS = _all_facts()
# One fact in six is seldom told, 40 times less often than the others: in 40,000 tellings about 5
# times against 180. So a model knows most facts and not all, and a loss or a gain shows.
_SELDOM = frozenset(Draw("facts", "seldom").sample(range(len(FACTS)), len(FACTS) // 6))
_CUMULATIVE = tuple(accumulate(0.025 if i in _SELDOM else 1.0 for i in range(len(FACTS))))


def draw_fact(draw: Draw) -> Fact:
    """Draw a fact by how common it is in the world."""
    index = bisect_right(_CUMULATIVE, draw.unit() * _CUMULATIVE[-1])
    return FACTS[min(index, len(FACTS) - 1)]
