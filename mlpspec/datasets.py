"""Where the training data comes from: inputs, targets, and the named random streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlpspec.model import Array


def stream(name: str, seed: int, n_samples: int, n_inputs: int) -> np.random.Generator:
    """Return the random stream ``name`` of a seed: of (seed, N, D) and the name alone.

    Runs that differ in their losses or settings therefore share data and start: they are paired.
    """
    entropy = [seed, n_samples, n_inputs, *name.encode()]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


@dataclass(frozen=True)
class Uniform:
    """Inputs uniform on the cube [low, high]^D."""

    low: float = -1.0
    high: float = 1.0

    @property
    def width(self) -> float:
        """Width of the domain along each dimension."""
        return self.high - self.low

    def sample(self, rng: np.random.Generator, n_samples: int, n_inputs: int) -> Array:
        """Draw inputs (N, D)."""
        return rng.uniform(self.low, self.high, (n_samples, n_inputs))


def sine(x: Array) -> Array:
    """y = sin(pi x_1) prod_{d >= 2} cos(pi x_d): (..., N, D) to (..., N)."""
    return np.asarray(np.sin(np.pi * x[..., 0]) * np.cos(np.pi * x[..., 1:]).prod(axis=-1))


def mean_spacing(width: float, n_samples: int, n_inputs: int) -> float:
    """g = width / N^(1/D): the side of the cube that each of N inputs has to itself."""
    return float(width / n_samples ** (1.0 / n_inputs))


DATASETS: dict[str, Uniform] = {"uniform": Uniform()}
TARGETS: dict[str, Callable[[Array], Array]] = {"sine": sine}
