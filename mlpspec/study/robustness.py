"""Robustness: which claims survive which choices of network, data, losses and training.

`CHOICES` is the table of choices; the default is the reading of the named studies. Two stages
(`mlpspec.study.stages`), each on seeds that chose nothing before, neither the default (1000 to
1299) nor anything else (0 to 9 are the paper's, 100 to 199 those of ``confirm``):

1. `robustness`: the default; every option of every choice by itself; and `COMBINATIONS` random
   combinations. Three sizes, the six seeds 2000 to 2005.
2. ``decisive``: the ten most decisive of the options that were varied by themselves, beside the
   default and two dimensions, on the whole grid with the seeds 2100 to 2109. Which those are says
   `mlpspec.analysis.survival.most_decisive`.

In a combination each choice is changed with probability `MEAN_CHANGES` / (number of choices),
independently, to any of its other options alike. Combinations that change fewer than two, that are
no runs (`mlpspec.Run` refuses them) or that were drawn before are drawn again. So most change two
to four, lie where somebody could have been, and are seldom of the options that only NumPy trains,
which take five to ten times as long.

What chance does to a verdict is seen in ``chance``, a study beside the first stage: the default on
sixty further seeds, 2200 to 2259, which are judged six by six, as often as there are groups. These
have other data and other starts, whereas most settings are judged on the data and the start of the
default, so that they should agree with it at least as often as a group does.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mlpspec.errors import InputError
from mlpspec.losses import BUILT_IN
from mlpspec.study import readings
from mlpspec.study.choices import (
    DEFAULT,
    Choices,
    draw_options,
    first_of,
    one_at_a_time,
    settings_of,
    values_of,
)
from mlpspec.study.readings import READING
from mlpspec.study.run import Run
from mlpspec.study.study import Study
from mlpspec.study.subsets import subsets

COMBINATIONS, SEED = 100, 16
"""Random combinations, and the seed of their draw."""

CHANCE = range(2200, 2260)
"""The seeds of the default that say what chance does, six at a time."""

MEAN_CHANGES = 3.0
"""Choices that a combination changes, on average, before those that change too few are left out."""

CHOICES: Choices = {
    # Those of common libraries, and those that know the domain or the data; with K = N the centres
    # of k-means are the inputs.
    "start": {
        **readings.CHOICES["start"],
        **values_of("initializer", "prototypes", ("xavier", "he", "orthogonal", "inputs")),
        "inputs, steeper": {"initializer": "inputs(slope=4.0)"},
    },
    # The abstract says Gaussian, which both kinds are; epsilon keeps a prototype finite.
    "neuron": {
        "ridge": {},
        "ridge, larger epsilon": {"neuron": "ridge(epsilon=0.0001)"},
        "radial": {"neuron": "radial"},
    },
    # K is N by choice, not by need.
    "width": values_of("n_hidden", "N", (30,)),
    # A line is the exception among data.
    "dimension": values_of("n_inputs", "1", (2,)),
    # Evenly spaced, clumped, or not centred.
    "inputs": {
        **values_of("dataset", "random", {"even": "grid", "clustered": "clustered"}),
        "random, [0, 1]": {"dataset": "uniform(low=0.0)"},
    },
    # The claims are about inputs, and should not hang on what is learnt of them.
    "target": readings.CHOICES["target"],
    "coverage": readings.CHOICES["coverage"],
    "separation of pairs": readings.CHOICES["separation of pairs"],
    "overlap of pairs": readings.CHOICES["overlap of pairs"],
    # Two decades.
    "weight": values_of("weight", "0.1", (0.01, 0.03, 0.3, 1.0)),
    # Of coverage.
    "temperature": values_of("temperature", "0.01", (0.001, 0.003, 0.03)),
    # The default has the smallest of those that were read into the abstract.
    "temperature of separation": {
        **values_of("separation_temperature", "0.0001", (0.0003, 0.001)),
        "as coverage": {"separation_temperature": None},
    },
    "fit": readings.CHOICES["fit"],
    # A bias may be needed only while neurons find their places, or only then do harm.
    "losses active": {
        "always": {},
        "first half": {"losses_until": 0.5},
        "second half": {"losses_from": 0.5},
    },
    # Each with a rate that is usual for it.
    "optimiser": {
        "adam, 0.01": {},
        "adam, 0.001": {"learning_rate": 0.001},
        "adam, 0.03": {"learning_rate": 0.03},
        "adam, beta2 0.99": {"optimizer": "adam(beta2=0.99)"},
        "gradient descent, 0.1": {"optimizer": "gradient_descent", "learning_rate": 0.1},
        "momentum, 0.03": {"optimizer": "momentum", "learning_rate": 0.03},
        "nesterov, 0.03": {"optimizer": "nesterov", "learning_rate": 0.03},
        "adagrad, 0.1": {"optimizer": "adagrad", "learning_rate": 0.1},
        "rmsprop, 0.003": {"optimizer": "rmsprop", "learning_rate": 0.003},
        "adamw, 0.01": {"optimizer": "adamw"},
        "l-bfgs": {"optimizer": "lbfgs"},
    },
    # Half a decade.
    "steps": values_of("steps", "3000", (1000, 10000)),
    # Each as it is by default, and restarts.
    "schedule": {
        **values_of("schedule", "constant", ("step", "exponential", "cyclic", "cosine")),
        "cosine, 4 periods": {"schedule": "cosine(periods=4)"},
    },
    # As large models are trained.
    "warm-up": values_of("warmup", "none", {"a tenth": 0.1}),
    # What practitioners do against too many steps.
    "early stopping": values_of("early_stopping", "none", ("plateau", "held_out")),
    # The usual ones, at usual strengths.
    "regulariser": {
        "none": {},
        "L1 0.0001": {"l1": 0.0001},
        "L1 0.001": {"l1": 0.001},
        "L2 0.0001": {"l2": 0.0001},
        "L2 0.001": {"l2": 0.001},
        "dropout 0.1": {"dropout": 0.1},
    },
    # Noise that blurs what is to be read back.
    "augmentation": {
        "none": {},
        "jitter 0.01": {"jitter": 0.01},
        "jitter 0.05": {"jitter": 0.05},
        "target noise 0.1": {"target_noise": 0.1},
        "adversarial 0.01": {"adversarial": 0.01},
    },
}
"""What a setting of the study has chosen. What the abstract leaves open is asked here, too."""


def combinations(count: int = COMBINATIONS, seed: int = SEED) -> dict[str, dict[str, str]]:
    """Return the options of ``count`` random combinations by choice, under names like ``c001``.

    Examples
    --------
    >>> list(combinations(2)), len(combinations(2)["c001"]) == len(CHOICES)
    (['c001', 'c002'], True)
    """
    known: set[Run] = set()

    def wanted(options: dict[str, str]) -> bool:
        if sum(option != first_of(CHOICES[choice]) for choice, option in options.items()) < 2:
            return False
        try:
            run = Run(**{**READING, **settings_of(options, CHOICES)})
        except InputError:
            return False
        new = run not in known
        known.add(run)
        return new

    return draw_options(CHOICES, count, seed, _changes, "c", wanted)


def _changes(rng: np.random.Generator, n_choices: int) -> Iterable[int]:
    return np.flatnonzero(rng.random(n_choices) < MEAN_CHANGES / n_choices).tolist()


def robustness() -> Study:
    """Return the first stage: the default, every option by itself, and random combinations.

    Examples
    --------
    >>> study = robustness()
    >>> study.axes["n_samples"], study.variants["weight-0-3"], study.settings == READING
    ((3, 10, 50), {'weight': 0.3}, True)
    """
    drawn = {name: settings_of(options, CHOICES) for name, options in combinations().items()}
    return Study(
        "robustness",
        {"losses": subsets(BUILT_IN), "n_samples": (3, 10, 50), "seed": range(2000, 2006)},
        READING,
        "Which claims survive which choices?",
        variants={DEFAULT: {}, **one_at_a_time(CHOICES), **drawn},
    )


def chance(study: Study) -> Study:
    """Return the default alone on sixty further seeds, for the sizes and settings of ``study``.

    Examples
    --------
    >>> len(chance(robustness()).runs)
    1440
    """
    axes = {"losses": subsets(BUILT_IN), **study.axes, "seed": CHANCE}
    return Study("chance", axes, study.settings, study.question, variants={DEFAULT: {}})
