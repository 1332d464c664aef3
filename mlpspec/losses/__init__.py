"""Structural losses: what they are, and the three of the study."""

from __future__ import annotations

from mlpspec.losses.base import StructuralLoss
from mlpspec.losses.coverage import Coverage
from mlpspec.losses.overlap import Overlap
from mlpspec.losses.separation import Separation

BUILT_IN = ("coverage", "separation", "overlap")
"""Names of the losses of the study, in the order in which labels name them."""


def built_in(temperature: float) -> dict[str, StructuralLoss]:
    """Return the losses of the study by name, at one temperature where they have one."""
    return {
        "coverage": Coverage(temperature),
        "separation": Separation(temperature),
        "overlap": Overlap(),
    }


__all__ = ["BUILT_IN", "Coverage", "Overlap", "Separation", "StructuralLoss", "built_in"]
