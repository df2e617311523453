"""The study's questions, and the experiments that answer them."""

from __future__ import annotations

from dataclasses import dataclass

CORE = "microworld-study"
PROPENSITY, OUT_OF_DISTRIBUTION = "oracle/propensity", "oracle/propensity_ood"
AGAINST = (PROPENSITY, OUT_OF_DISTRIBUTION, "oracle/facts_accuracy", "bits_per_byte/desirable")
AS_IT_IS = ("oracle/misaligned_share", "oracle/rater_auc", "oracle/reviser_success")


@dataclass(frozen=True)
class Part:
    """A question of the study, and the experiments that answer it."""

    name: str
    """Of the experiment, or of the sweep whose points begin with it."""
    question: str
    command: str
    against: tuple[str, ...] = AGAINST
    """Metrics of which the difference to the control is told."""
    as_it_is: tuple[str, ...] = AS_IT_IS
    """Metrics of which the value itself is told."""
    every_generation: bool = False
    """Tell every generation, and not the last one alone."""

    def holds(self, experiment: str) -> bool:
        """Whether an experiment of this name is one of its own."""
        return experiment == self.name or experiment.startswith(f"{self.name}-")


PARTS = (
    Part(
        "study-inversion",
        "What does dropping do, and what does making worse do?",
        "palimpsest run configs/study/inversion.yaml",
    ),
    Part(
        "study-mixing",
        "Replace the corpus or add to it, and how much untouched text to keep?",
        "palimpsest sweep configs/study/mixing.yaml "
        "--grid mix.mode=replace,accumulate,accumulate_fixed_budget "
        "--grid mix.real_floor=0,0.3333,0.6667",
    ),
    Part(
        "study-long",
        "What do six generations add up to?",
        "palimpsest run configs/study/long.yaml",
        every_generation=True,
    ),
    Part(
        "study-reviser",
        "Iteration, or repetition?",
        "palimpsest sweep configs/study/reviser.yaml --grid revising.reviser=self,base",
    ),
    Part(
        "study-noise",
        "Where does the loop climb, and where does it collapse?",
        "palimpsest sweep configs/study/noise.yaml --grid skills.noise=0,0.1,0.2,0.3 "
        "--grid skills.source=fixed,self",
    ),
    Part(
        "study-taught",
        "A model that labels its own exemplars: where does it climb, and where does it collapse?",
        "palimpsest sweep configs/study/taught.yaml --grid skills.noise=0,0.1,0.2,0.3",
        every_generation=True,
    ),
    Part(
        "study-entry",
        "A late lesson, or one throughout: what persists, and how soon is it unlearned?",
        "palimpsest sweep configs/study/entry.yaml "
        "--grid training.entry=throughout,last_tenth,fine_tune",
        against=(PROPENSITY, f"{PROPENSITY}@persistence", OUT_OF_DISTRIBUTION),
        as_it_is=("relearning/steps_to_control", "relearning/steps_to_control_ood"),
    ),
    Part(
        "study-framing",
        "Documents as they are, or inside a context that calls for the behaviour?",
        "palimpsest sweep configs/study/framing.yaml "
        "--grid training.framing=null,desirable,undesirable",
    ),
    Part(
        "study-selection",
        "Best of four, or their median?",
        "palimpsest sweep configs/study/selection.yaml --grid revising.quantile=1.0,0.5",
    ),
)
