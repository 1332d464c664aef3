"""The named studies."""

from __future__ import annotations

from collections.abc import Callable

from mlpspec.losses import BUILT_IN
from mlpspec.study import Study, subsets


def paper() -> Study:
    """Return the 480-run grid: eight loss subsets, six sizes, ten seeds."""
    return Study(
        "paper",
        {"losses": subsets(BUILT_IN), "n_samples": (3, 5, 10, 20, 50, 100), "seed": range(10)},
        question="Does a structural loss make hidden neurons specialise on the training inputs?",
    )


def tau_sweep() -> Study:
    """Return coverage alone and separation alone at 13 temperatures, 1e-5 to 10, two a decade."""
    return Study(
        "tau-sweep",
        {
            "losses": (("coverage",), ("separation",)),
            "n_samples": (5, 10, 20, 50),
            "temperature": tuple(float(f"{10 ** (half / 2 - 5):.3g}") for half in range(13)),
            "seed": range(10),
        },
        question="At which temperatures does coverage merge and separation expel the prototypes?",
    )


def confirm() -> Study:
    """Return the grid again on a hundred fresh seeds, at 3,000 and at 10,000 steps."""
    return Study(
        "confirm",
        {**paper().axes, "seed": range(100, 200), "steps": (3000, 10000)},
        question="Do the grid's findings hold on fresh seeds, and after longer training?",
    )


def placebo() -> Study:
    """Return the baseline of the grid from another start: a treatment without substance."""
    return Study(
        "placebo",
        {"losses": ((),), **{name: paper().axes[name] for name in ("n_samples", "seed")}},
        {"start": "placebo"},
        question="How far apart are two baselines that differ in nothing but their start?",
    )


def hull_2d() -> Study:
    """Return the eight subsets on inputs in the plane."""
    return Study(
        "hull-2d",
        {"losses": subsets(BUILT_IN), "n_samples": (12, 30), "seed": range(10)},
        {"n_inputs": 2},
        question="Which ridges and prototypes leave the convex hull of inputs in the plane?",
    )


STUDIES: dict[str, Callable[[], Study]] = {
    "paper": paper,
    "tau-sweep": tau_sweep,
    "confirm": confirm,
    "hull-2d": hull_2d,
    "placebo": placebo,
}
"""Every named study, as a function that describes it."""
