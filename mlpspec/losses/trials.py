"""Small random networks on which a structural loss is tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpspec.arrays import Array
from mlpspec.network.forward import Forward, respond
from mlpspec.network.neurons import NEURONS, Params

N_RUNS = 3
"""Runs of a batch: unlike any N, K and D below, so that a mean over it shows."""

SHAPES = ((2, 2), (5, 5), (4, 6), (7, 4))
"""(N, K) of the networks whose gradients are compared."""

SPREADS = ((1.5, 0.8, 0.1), (0.03, 0.01, 3e-3))
"""How far the prototypes of each run spread: as far as the inputs and beyond, or less and less."""

LONG = (33, 34)
"""(N, K) long enough for sums whose order depends on the layout of a batch."""


def placed(neuron: str, p: Array, rng: np.random.Generator) -> Params:
    """Return random networks whose neurons are placed at p (R, K, D)."""
    cls = NEURONS[neuron]
    slope = rng.uniform(0.7, 3.0, p.shape[:2]) * rng.choice([-1.0, 1.0], p.shape[:2])
    height = rng.standard_normal(p.shape[:2])
    runs = [cls.placed(*run).flatten() for run in zip(p, slope, height, strict=True)]
    flat = np.concatenate(runs)
    flat[:, -1] = rng.standard_normal(len(p))
    return cls.unflatten(flat, p.shape[2])


def trial(
    neuron: str, n_samples: int, n_hidden: int, n_inputs: int, spread: tuple[float, ...]
) -> Forward:
    """Return a batch of networks whose prototypes spread as far as told, run by run."""
    rng = np.random.default_rng([n_samples, n_hidden, n_inputs])
    p = np.array(spread)[:, None, None] * rng.uniform(-1.0, 1.0, (N_RUNS, n_hidden, n_inputs))
    x = rng.uniform(-1.0, 1.0, (N_RUNS, n_samples, n_inputs))
    return respond(placed(neuron, p, rng), x, rng.standard_normal((N_RUNS, n_samples)))


def chosen(params: Params, neurons: Sequence[int]) -> Params:
    """Return the networks with some of their neurons, in the order that is given."""
    fields = {
        name: value[:, neurons] if "K" in params.AXES[name] else value
        for name, value in vars(params).items()
    }
    return type(params)(**fields)


def copied(net: Forward, rows: Any = slice(None), dtype: Any = None) -> Forward:
    """Return a forward pass of copies of some runs, protected from writing."""

    def copy(array: Array) -> Array:
        copied = np.array(array[rows], dtype=dtype or array.dtype, order="C")
        copied.flags.writeable = False
        return copied

    fields = {name: copy(value) for name, value in vars(net.params).items()}
    return respond(type(net.params)(**fields), copy(net.x), copy(net.y))


def extremes(neuron: str, n_inputs: int) -> dict[str, Forward]:
    """Return networks where formulas that are right elsewhere divide by 0 or overflow."""
    rng = np.random.default_rng(n_inputs)
    shape = (N_RUNS, 4, n_inputs)
    x, y = rng.uniform(-1.0, 1.0, shape), rng.standard_normal(shape[:2])
    far = rng.uniform(0.5, 1.0, shape) * 1e6
    mixed = rng.uniform(-1.0, 1.0, shape)
    mixed[:, 0] = 1e6
    same = chosen(placed(neuron, mixed[:, 1:2], rng), [0, 0, 0, 0])
    touching = x.copy()
    touching[:, 0] = same.prototypes[:, 0]
    return {
        "where all prototypes coincide": respond(same, x, y),
        "where all prototypes lie on one input": respond(same, touching, y),
        "where all prototypes are 1e6 away": respond(placed(neuron, far, rng), x, y),
        "where one prototype is 1e6 away": respond(placed(neuron, mixed, rng), x, y),
    }
