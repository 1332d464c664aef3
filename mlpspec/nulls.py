"""What chance and ignorance would score: the numbers beside which a result has to stand.

All pure functions of data and prototypes; nothing is trained here. Four nulls follow from the
data alone or from the start, and one from the trained prototypes:

- ``grid``: prototypes equally spaced on the domain: what is known without having seen the data;
- ``random``: prototypes uniform on the domain, with the 95 % band of 200 draws. On a line, in the
  limit of many, their usage ratio is 5/9, and 2 / (N + 1) of N fall outside the hull;
- ``start``: the untrained network;
- ``placebo``: the baseline trained from another start (the study of that name);
- ``other``: each run's prototypes measured against the data of other seeds.
"""

from __future__ import annotations

import itertools

import numpy as np

from mlpspec.datasets import Uniform, stream
from mlpspec.metrics import measure_places
from mlpspec.model import Array

DRAWS = 200
"""Sets of random prototypes per data set."""

OTHERS = 20
"""Other seeds against which a run is measured, at the most: the next ones."""


def grid_prototypes(n_hidden: int, n_inputs: int, domain: Uniform) -> Array:
    """Return prototypes (K, D) equally spaced on the domain, in the middle of equal cells.

    Above one dimension, K of the ceil(K^(1/D))^D cells, evenly chosen in their row-major order.
    """
    side = round(n_hidden ** (1.0 / n_inputs))
    side += side**n_inputs < n_hidden
    ticks = domain.low + (np.arange(side) + 0.5) * domain.width / side
    cells = np.array(list(itertools.product(ticks, repeat=n_inputs)))
    return np.asarray(cells[np.arange(n_hidden) * len(cells) // n_hidden])


def grid_null(x: Array, n_hidden: int, domain: Uniform) -> dict[str, Array]:
    """Return the measurements (S,) of grid prototypes on S data sets x (S, N, D)."""
    grid = grid_prototypes(n_hidden, x.shape[2], domain)
    everywhere = np.broadcast_to(grid, (len(x), *grid.shape))
    return measure_places(x, everywhere, width=domain.width)


def random_null(
    x: Array, seeds: Array, n_hidden: int, domain: Uniform
) -> dict[str, tuple[Array, Array, Array]]:
    """Return mean and 2.5 and 97.5 % quantiles (S,) of random prototypes on x (S, N, D).

    Every data set has draws of its own, from the stream ``"random prototypes"`` of its seed.
    """
    _, n_samples, n_inputs = x.shape
    found: dict[str, list[Array]] = {}
    for data, seed in zip(x, seeds, strict=True):
        rng = stream("random prototypes", int(seed), n_samples, n_inputs)
        p = domain.sample(rng, DRAWS * n_hidden, n_inputs).reshape(DRAWS, n_hidden, n_inputs)
        repeated = np.broadcast_to(data, (DRAWS, n_samples, n_inputs))
        for name, values in measure_places(repeated, p, width=domain.width).items():
            found.setdefault(name, []).append(
                np.array([np.nanmean(values), *np.nanquantile(values, (0.025, 0.975))])
            )
    return {name: tuple(np.array(rows).T) for name, rows in found.items()}


def other_null(x: Array, p: Array, domain: Uniform) -> dict[str, Array]:
    """Return the measurements (S,) of each seed's prototypes on the data of other seeds.

    The mean over the next `OTHERS` seeds (cyclic; all others if there are fewer) of prototypes
    p (S, K, D) on data x (S, N, D); NaN for a single seed.
    """
    n_sets = len(x)
    shifts = range(1, min(n_sets - 1, OTHERS) + 1)
    scores = [measure_places(np.roll(x, -s, axis=0), p, width=domain.width) for s in shifts]
    names = scores[0] if scores else measure_places(x, p, width=domain.width)
    return {
        name: np.mean([score[name] for score in scores], axis=0)
        if scores
        else np.full(n_sets, np.nan)
        for name in names
    }
