"""What chance and ignorance would score: the numbers beside which a result has to stand.

All pure functions of data and prototypes; nothing is trained here. Four nulls follow from the
data alone or from the start, and one from the trained prototypes:

- ``grid``: prototypes equally spaced on the domain: what is known without having seen the data;
- ``random``: prototypes uniform on the domain, with the 95 % band of 200 draws. On a line, in the
  limit of many, their usage ratio is 5/9, and 2 / (N + 1) of N fall outside the hull. Measurements
  of the responses have the band of 100 other starts of the same kind;
- ``start``: the network before its training: untrained, or that from which a run starts;
- ``placebo``: the baseline trained from another start (the study of that name);
- ``other``: each run's prototypes measured against the data of other seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mlpspec.arrays import Array
from mlpspec.data.datasets import Uniform, stream
from mlpspec.metrics.measure import measure_places, measure_responses
from mlpspec.metrics.prototypes import nearest_error, reconstruction
from mlpspec.metrics.statistics import average, summaries
from mlpspec.network.forward import forward
from mlpspec.network.neurons import Params

NULLS = ("grid", "random", "start")
"""Those that every data set has; the others need further runs."""

DRAWS = 200
"""Sets of random prototypes per data set."""

OTHERS = 10
"""Other seeds against which a run is measured, at the most: the next ones."""

MOST_SETS = 200
"""Data sets of a size that get random prototypes, at the most: the first ones."""

NETWORKS = 100
"""Random networks per data set."""

MOST_NETWORK_SETS = 20
"""Data sets of a size that get random networks, at the most: the first ones."""

MOST_RESPONSES = 2**20
"""Of random networks that are measured side by side."""


def grid_prototypes(n_hidden: int, n_inputs: int, domain: Uniform) -> Array:
    """Return prototypes (K, D) equally spaced on the domain, in the middle of equal parts of it.

    Examples
    --------
    >>> grid_prototypes(4, 1, Uniform()).ravel()
    array([-0.75, -0.25,  0.25,  0.75])
    """
    return domain.cells(n_hidden, n_inputs)[0]


def grid_null(x: Array, n_hidden: int, domain: Uniform) -> dict[str, Array]:
    """Return the measurements (S,) of grid prototypes on S data sets x (S, N, D).

    Examples
    --------
    >>> grid_null(np.array([[[-0.5], [0.5]]]), 2, Uniform())["hit_rate"]
    array([1.])
    """
    grid = grid_prototypes(n_hidden, x.shape[2], domain)
    everywhere = np.broadcast_to(grid, (len(x), *grid.shape))
    return measure_places(x, everywhere, width=domain.width)


def random_null(
    x: Array, seeds: Array, n_hidden: int, domain: Uniform
) -> dict[str, tuple[Array, Array, Array]]:
    """Return mean and 2.5 and 97.5 % quantiles (S,) of random prototypes on x (S, N, D).

    Every data set has draws of its own, from the stream ``"random prototypes"`` of its seed; from
    the 201st on (`MOST_SETS`), a data set has none and is NaN, as is what its inputs leave
    undefined.

    Examples
    --------
    >>> x = np.array([[[-0.5], [0.5]]])
    >>> mean, low, high = random_null(x, np.array([0]), 2, Uniform())["usage_ratio"]
    >>> bool(low[0] < mean[0] < high[0])
    True
    """
    n_sets, n_samples, n_inputs = x.shape
    measured = []
    for data, seed in zip(x[:MOST_SETS], seeds[:MOST_SETS], strict=True):
        rng = stream("random prototypes", int(seed), n_samples, n_inputs)
        p = domain.draw(rng, DRAWS * n_hidden, n_inputs).reshape(DRAWS, n_hidden, n_inputs)
        repeated = np.broadcast_to(data, (DRAWS, n_samples, n_inputs))
        measured.append(measure_places(repeated, p, width=domain.width))
    return _bands(measured, n_sets)


def _bands(
    measured: Sequence[dict[str, Array]], n_sets: int
) -> dict[str, tuple[Array, Array, Array]]:
    """Return the bands (S,) of what was measured on each data set, NaN for those left out."""
    unknown = np.full((n_sets - len(measured), 3), np.nan)
    bands = {name: [_band(of_set[name]) for of_set in measured] for name in measured[0]}
    return {name: tuple(np.vstack([*rows, unknown]).T) for name, rows in bands.items()}


def _band(values: Array) -> Array:
    """Return mean and 2.5 and 97.5 % quantiles (3,) of the defined values."""
    known = values[np.isfinite(values)]
    band = np.quantile(known, (0.025, 0.975)) if len(known) else (np.nan, np.nan)
    return np.array([*summaries(values[None])["mean"], *band])


def random_network_null(
    x: Array, seeds: Array, draw: Callable[[int, np.random.Generator], Params]
) -> dict[str, tuple[Array, Array, Array]]:
    """Return mean and 2.5 and 97.5 % quantiles (S,) of random networks on x (S, N, D).

    Of the measurements of the responses. Every data set has draws of its own, from the stream
    ``"random networks"`` of its seed; from the 21st on (`MOST_NETWORK_SETS`), a data set has none
    and is NaN.

    Parameters
    ----------
    x : (S, N, D)
    seeds : (S,)
    draw : callable
        Returns a network (R = 1) for the s-th data set, from a random generator.

    Examples
    --------
    >>> from mlpspec.network.initializers import Draw, uniform_prototypes
    >>> x = np.array([[[-0.5], [0.0], [0.5]]])
    >>> draw = lambda s, rng: uniform_prototypes(Draw(rng, 3))
    >>> null = random_network_null(x, np.array([0]), draw)
    >>> mean, low, high = null["monosemanticity_median"]
    >>> bool(0.75 <= low[0] < mean[0] < high[0] <= 1.0)
    True
    """
    n_sets, n_samples, n_inputs = x.shape
    measured = []
    for s, seed in enumerate(seeds[:MOST_NETWORK_SETS].tolist()):
        rng = stream("random networks", seed, n_samples, n_inputs)
        networks = [draw(s, rng) for _ in range(NETWORKS)]
        together = max(1, MOST_RESPONSES // (n_samples * networks[0].shape[1]))
        parts = []
        for first in range(0, NETWORKS, together):
            several = networks[first : first + together]
            params = type(several[0]).unflatten(np.vstack([p.flatten() for p in several]), n_inputs)
            repeated = np.broadcast_to(x[s], (len(several), n_samples, n_inputs))
            hidden = forward(params, repeated, np.zeros(repeated.shape[:2])).hidden
            parts.append(measure_responses(hidden))
        measured.append({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    return _bands(measured, n_sets)


def other_null(x: Array, p: Sequence[Array]) -> dict[str, Array]:
    """Return how well (S,) each seed's prototypes reconstruct the data of other seeds.

    Reconstruction error, hit rate and nearest error: the mean over the next `OTHERS` seeds
    (cyclic; all others if there are fewer) of prototypes p (S, K, D) on data x (S, N, D); NaN for
    a single seed. K may differ from seed to seed.

    Examples
    --------
    >>> x = np.array([[[0.0], [1.0]], [[0.5], [1.5]]])
    >>> other_null(x, x)["nearest_error"]
    array([0.5, 0.5])
    """
    shifts = range(1, min(len(x) - 1, OTHERS) + 1)
    scores = np.full((max(len(shifts), 1), 3, len(x)), np.nan)
    alike: dict[int, list[int]] = {}
    for number, prototypes in enumerate(p):
        alike.setdefault(len(prototypes), []).append(number)
    for row, shift in enumerate(shifts):
        other = np.roll(x, -shift, axis=0)
        for some in alike.values():
            same = np.stack([p[number] for number in some])
            found = *reconstruction(other[some], same), nearest_error(other[some], same)
            scores[row][:, some] = found
    names = ("reconstruction_error", "hit_rate", "nearest_error")
    return dict(zip(names, average(scores), strict=True))
