"""Controls: known doubts about the findings, each with the settings and questions that answer it.

Written before any result of these studies existed. A question names one quantity of two groups of
runs that share data, and, unless the doubt is about it, the start. It is asked at N = 10, 20 and
50, on the twenty seeds 3000 to 3019, which chose nothing. The differences are paired by seed. With
the margin m of the claims (a tenth of the mean spacing for errors, 0.05 for shares, a factor of
ten for gradients), the answer at one N is

- **yes** if the exact interval of the median difference lies beyond m on the side asked about, and
  the sign-flip test says so after Holm over all questions and N (p < 0.05);
- **no** if the interval does not reach m on that side: the difference is smaller than what matters,
  or has the other sign;
- **undecided** otherwise.

The doubts:

``steps``
    Have the networks been trained long enough? After 3,000, 10,000 and 30,000 steps. *Trained
    enough* would be effects that are answered alike at all three, a gradient that does not fall
    any more by a factor of ten, and no difference in usage and error between 3,000 and 30,000.
``continuation``
    Does what a loss has done last without it? From one and the same network after 3,000 steps, the
    structural losses go on, or are switched off, until 10,000 and 30,000. *It lasts* would be a
    no to: coverage's usage is lower after than before; *an expelled neuron returns* would be a yes
    to: of the neurons that overlap had expelled, a share is back, and a larger one than where the
    loss went on as long.
``inputs``
    Is it finding or staying? Prototypes start at the inputs, with the default's slopes, and 4 and
    16 times as steep. *Finding* would be a baseline that keeps them, with a lower error than from
    the default's start, so that coverage has nothing to improve; *staying*, one that leaves them
    in spite of a perfect start, and coverage that holds them.
``structure only``
    Does the fit help or harm? Without it, coverage is on its own. *It harms* would be a lower error
    of coverage without the fit; that of the equally spaced grid, which has seen no data, is asked
    too. The baseline is then the untrained start.
``momentum``
    Is the effect Adam's? With momentum, and with plain gradient descent, at rates of their own. *It
    is Adam's* would be a no to all four effects (an early draft of this study had all subsets equal
    there).
``epsilon``
    Does the prototype's epsilon matter, which keeps it finite where a slope vanishes? 0, 1e-6 and
    1e-4 for 1e-8. *It does* would be a yes to any difference in error or expulsion.
``force``
    Do losses differ because their weights are not comparable? Each gets 0.3 of the fit's gradient
    at the start. Separation has the temperature of coverage there, since at its own it has no force
    at the start, so it is compared with absolute weights at that temperature. *It is the weights*
    would be effects that are answered otherwise than by default.

The study `phase` goes with it: for which weights, temperatures (of coverage, in units of the mean
spacing squared) and steps is the error of coverage below the baseline's, and that of coverage +
overlap above that of coverage? Its sizes 10, 20 and 40 are those at which the default's temperature
is a grid point: 1/4, 1 and 4 squared spacings. A sign is one where the exact interval of the median
difference over ten seeds excludes zero. There is no correction for the 540 of them: it is a map,
which shows whether the default lies well within a region of one sign or at its edge.
"""

from __future__ import annotations

from typing import NamedTuple

from mlpspec.losses import BUILT_IN
from mlpspec.study.readings import READING
from mlpspec.study.study import Study
from mlpspec.study.subsets import subsets

SEEDS = range(3000, 3020)

DOUBTS: dict[str, dict[str, dict[str, object]]] = {
    "steps": {"steps-10000": {"steps": 10000}, "steps-30000": {"steps": 30000}},
    "continuation": {
        "released-10000": {"steps": 10000, "losses_until": 0.3},
        "released-30000": {"steps": 30000, "losses_until": 0.1},
    },
    "inputs": {
        "inputs-x1": {"initializer": "inputs"},
        "inputs-x4": {"initializer": "inputs(slope=4.0)"},
        "inputs-x16": {"initializer": "inputs(slope=16.0)"},
    },
    "structure only": {"structure-only": {"fit_weight": 0.0}},
    "momentum": {
        "momentum": {"optimizer": "momentum", "learning_rate": 0.03},
        "gradient-descent": {"optimizer": "gradient_descent", "learning_rate": 0.1},
    },
    "epsilon": {
        "epsilon-0": {"neuron": "ridge(epsilon=0.0)"},
        "epsilon-1e-6": {"neuron": "ridge(epsilon=1e-06)"},
        "epsilon-1e-4": {"neuron": "ridge(epsilon=0.0001)"},
    },
    "force": {
        "absolute": {"separation_temperature": None},
        "force": {"separation_temperature": None, "weight_unit": "force", "weight": 0.3},
    },
}
"""The variants that each doubt is about, and their settings beside those of the default."""

GRID = "grid"
"""In place of a variant: the equally spaced grid, which has seen no data."""

RETURNED = "returned_share"
"""In place of a measurement: the share of neurons expelled in the default that are not any more."""


class Side(NamedTuple):
    """One side of a comparison: the runs of a subset in a variant; or the `GRID`.

    Examples
    --------
    >>> str(Side("momentum", "coverage"))
    'coverage (momentum)'
    """

    variant: str
    losses: str = ""

    def __str__(self) -> str:
        return f"{self.losses} ({self.variant})" if self.losses else self.variant


class Question(NamedTuple):
    """Is a measurement lower, or higher, on one side than on the other, or differs it?

    Examples
    --------
    >>> questions()[0].doubt, str(questions()[0].one), questions()[0].direction
    ('default', 'coverage (default)', 'lower')
    """

    doubt: str
    text: str
    measurement: str
    one: Side
    other: Side
    direction: str
    """``lower``, ``higher`` or ``differs``: how ``one`` is compared with ``other``."""


EFFECTS = (
    ("coverage lowers the error", "reconstruction_error", "coverage", "lower"),
    ("coverage raises the usage", "distinct_usage_ratio", "coverage", "higher"),
    ("overlap raises the error", "reconstruction_error", "overlap", "higher"),
    ("overlap expels", "expelled_fraction", "overlap", "higher"),
)
"""The effects that are doubted: what a subset does, against the baseline of the same variant."""


def questions() -> list[Question]:
    """Return all questions, by doubt; first whether the effects are there by default.

    Examples
    --------
    >>> len(questions()), {question.doubt for question in questions()} - {*DOUBTS}
    (118, {'default'})
    """
    error, usage, expelled = "reconstruction_error", "distinct_usage_ratio", "expelled_fraction"
    found: list[Question] = []

    def effects(doubt: str, variant: str) -> None:
        for text, name, losses, direction in EFFECTS:
            baseline = Side(variant, "baseline")
            found.append(Question(doubt, text, name, Side(variant, losses), baseline, direction))

    def ask(
        text: str, name: str, losses: str, direction: str, one: str, other: str = "default"
    ) -> None:
        sides = Side(one, losses), Side(other, "" if other == GRID else losses)
        found.append(Question(doubt, text, name, *sides, direction))

    effects("default", "default")
    for doubt, variants in DOUBTS.items():
        for variant in variants:
            effects(doubt, variant)
            if doubt == "steps":
                for losses in ("baseline", "coverage", "overlap"):
                    ask("the gradient falls on", "gradient_norm", losses, "lower", variant)
                ask("usage falls on", usage, "coverage", "lower", variant)
                ask("the error changes", error, "coverage", "differs", variant)
            if doubt == "continuation":
                throughout = variant.replace("released", "steps")
                ask("usage is lost after release", usage, "coverage", "lower", variant)
                ask("expelled neurons return", RETURNED, "overlap", "higher", variant)
                ask("fewer are expelled", expelled, "overlap", "lower", variant)
                ask("the error goes back", error, "coverage", "higher", variant)
                ask("the error goes back", error, "overlap", "lower", variant)
                ask("less usage than with", usage, "coverage", "lower", variant, throughout)
                ask("more return than with", RETURNED, "overlap", "higher", variant, throughout)
            if doubt == "inputs":
                ask("the baseline is better off", error, "baseline", "lower", variant)
                ask("coverage is better off", error, "coverage", "lower", variant)
                ask("the baseline beats the grid", error, "baseline", "lower", variant, GRID)
            if doubt == "structure only":
                ask("coverage is better off", error, "coverage", "lower", variant)
                ask("coverage beats the grid", error, "coverage", "lower", variant, GRID)
                ask("fewer are expelled", expelled, "overlap", "lower", variant)
            if doubt == "epsilon":
                for losses in ("baseline", "coverage", "overlap"):
                    ask("the error differs", error, losses, "differs", variant)
                    ask("expulsion differs", expelled, losses, "differs", variant)
    return found


def controls() -> Study:
    """Return the known doubts, each as some variants of the default.

    Examples
    --------
    >>> controls().axes["n_samples"], len(controls().variants)
    ((10, 20, 50), 16)
    """
    variants: dict[str, dict[str, object]] = {"default": {}}
    for about in DOUBTS.values():
        variants |= about
    return Study(
        "controls",
        {"losses": subsets(BUILT_IN), "n_samples": (10, 20, 50), "seed": SEEDS},
        READING,
        "Do the findings survive the known doubts?",
        variants=variants,
    )


def phase() -> Study:
    """Return coverage, alone and with overlap, over weight, temperature and steps.

    Examples
    --------
    >>> phase().settings["temperature_unit"], len(phase().axes["temperature"])
    ('spacing', 6)
    """
    return Study(
        "phase",
        {
            "losses": ((), ("coverage",), ("coverage", "overlap")),
            "n_samples": (10, 20, 40),
            "steps": (3000, 10000, 30000),
            "weight": (0.01, 0.03, 0.1, 0.3, 1.0),
            "temperature": (0.0625, 0.25, 1.0, 4.0, 16.0, 64.0),
            "seed": range(3000, 3010),
        },
        {**READING, "temperature_unit": "spacing"},
        "For which weights, temperatures and steps does coverage help and overlap harm?",
    )
