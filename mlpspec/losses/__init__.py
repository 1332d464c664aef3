"""Structural losses: what they are, the three of the study, and others to compare them with."""

from __future__ import annotations

from mlpspec.losses.base import StructuralLoss
from mlpspec.losses.check import Check, LossReport, check_loss
from mlpspec.losses.coverage import Coverage, HardCoverage, ReverseCoverage
from mlpspec.losses.formula import Formula
from mlpspec.losses.hull_barrier import HullBarrier
from mlpspec.losses.inhibition import Inhibition
from mlpspec.losses.overlap import Overlap
from mlpspec.losses.separation import LogRepulsion, Separation
from mlpspec.losses.weight_decay import L1, L2, WeightDecay

BUILT_IN = ("coverage", "separation", "overlap")
"""Names of the losses of the study, in the order in which labels name them."""


def built_in(temperature: float) -> dict[str, StructuralLoss]:
    """Return the losses of the study by name, at one temperature where they have one.

    Examples
    --------
    >>> built_in(0.5)["separation"]
    Separation(temperature=0.5, reduction='mean')
    """
    return {
        "coverage": Coverage(temperature),
        "separation": Separation(temperature),
        "overlap": Overlap(),
    }


__all__ = [
    "BUILT_IN",
    "L1",
    "L2",
    "Check",
    "Coverage",
    "Formula",
    "HardCoverage",
    "HullBarrier",
    "Inhibition",
    "LogRepulsion",
    "LossReport",
    "Overlap",
    "ReverseCoverage",
    "Separation",
    "StructuralLoss",
    "WeightDecay",
    "built_in",
    "check_loss",
]
