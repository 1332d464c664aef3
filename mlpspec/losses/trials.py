"""Small random networks on which a structural loss is tried."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpspec.arrays import Array
from mlpspec.network.forward import Forward
from mlpspec.network.neurons import NEURONS, Params

N_RUNS = 3
"""Runs of a batch: unlike any N, K and D below, so that a mean over it shows."""

SHAPES = ((2, 2), (5, 5), (4, 6), (7, 4))
"""(N, K) of the networks whose gradients are compared."""

SPREADS = ((1.5, 0.8, 0.1), (0.03, 0.01, 3e-3))
"""How far the prototypes of each run spread: as far as the inputs and beyond, or less and less."""

FAR = (3.0, 10.0, 100.0)
"""How far the prototypes of all runs spread in further batches: where training expels them to."""

FAR_SHAPES = ((5, 5), (7, 4))
"""(N, K) of those batches, and of networks such as training leaves."""

LONG = (33, 34)
"""(N, K) long enough for sums whose order depends on the layout of a batch."""


def random_at(
    neuron: str, p: Array, rng: np.random.Generator, steep: float | Array = 1.0
) -> Params:
    """Return random networks whose neurons are placed at p (R, K, D), with slopes of 0.7 to 3.

    ``steep``, a number or (R, 1), multiplies the slopes.
    """
    cls = NEURONS[neuron]
    slope = steep * rng.uniform(0.7, 3.0, p.shape[:2]) * rng.choice([-1.0, 1.0], p.shape[:2])
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
    return Forward(random_at(neuron, p, rng), x, rng.standard_normal((N_RUNS, n_samples)))


def elsewhere(neuron: str) -> dict[str, list[Forward]]:
    """Return further batches by where their prototypes are: `FAR`, and `trained`."""
    batches = [(*shape, n_inputs) for shape in FAR_SHAPES for n_inputs in (1, 2)]
    return {
        **{
            f"where prototypes spread to {spread:g}": [
                trial(neuron, *batch, (spread,) * N_RUNS) for batch in batches
            ]
            for spread in FAR
        },
        "where training leads": [trained(neuron, *batch) for batch in batches],
    }


def trained(neuron: str, n_samples: int, n_hidden: int, n_inputs: int) -> Forward:
    """Return a batch of networks such as training leaves.

    One prototype of each run is expelled, two are close together (1e-3), and the slopes are usual,
    steep (to 36) and gentle (from 0.2).
    """
    rng = np.random.default_rng([n_samples, n_hidden, n_inputs, 1])
    p = rng.uniform(-1.0, 1.0, (N_RUNS, n_hidden, n_inputs))
    p[:, 0] += np.sign(p[:, 0]) * np.array([[3.0], [10.0], [30.0]])
    p[:, 1] = p[:, 2] + 1e-3 * rng.uniform(-1.0, 1.0, p[:, 2].shape)
    x = rng.uniform(-1.0, 1.0, (N_RUNS, n_samples, n_inputs))
    params = random_at(neuron, p, rng, np.array([[1.0], [12.0], [0.3]]))
    return Forward(params, x, rng.standard_normal((N_RUNS, n_samples)))


def copied(net: Forward, rows: Any = slice(None), dtype: Any = None) -> Forward:
    """Return a forward pass of copies of some runs, protected from writing."""

    def copy(array: Array) -> Array:
        copied = np.array(array[rows], dtype=dtype or array.dtype, order="C")
        copied.flags.writeable = False
        return copied

    fields = {name: copy(value) for name, value in vars(net.params).items()}
    return Forward(type(net.params)(**fields), copy(net.x), copy(net.y))


def extremes(neuron: str, n_inputs: int) -> dict[str, Forward]:
    """Return networks where formulas that are right elsewhere divide by 0 or overflow."""
    rng = np.random.default_rng(n_inputs)
    shape = (N_RUNS, 4, n_inputs)
    x, y = rng.uniform(-1.0, 1.0, shape), rng.standard_normal(shape[:2])
    far = rng.uniform(0.5, 1.0, shape) * 1e6
    mixed = rng.uniform(-1.0, 1.0, shape)
    mixed[:, 0] = 1e6
    same = random_at(neuron, mixed[:, 1:2], rng).neurons([0, 0, 0, 0])
    touching = x.copy()
    touching[:, 0] = same.prototypes[:, 0]
    return {
        "where all prototypes coincide": Forward(same, x, y),
        "where all prototypes lie on one input": Forward(same, touching, y),
        "where all prototypes are 1e6 away": Forward(random_at(neuron, far, rng), x, y),
        "where one prototype is 1e6 away": Forward(random_at(neuron, mixed, rng), x, y),
    }
