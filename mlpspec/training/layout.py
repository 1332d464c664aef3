"""The memory of one run in the kernel: what lies where.

All numbers of a run lie in one array ``a``, and a row of them is known by the index of its first
(`Layout`). The first `HEAD` of them are single numbers, at the indices named here.
"""

from __future__ import annotations

from typing import NamedTuple

FIT, COVERAGE, SEPARATION, OVERLAP, L1, L2 = 0, 1, 2, 3, 4, 5
TAU_COVERAGE, TAU_SEPARATION, TWICE_M_SEPARATION, TWICE_M_OVERLAP = 6, 7, 8, 9
TOTAL, VALUE, EPSILON, HEAD = 10, 11, 17, 24

WINDOWED = 32
"""Samples from which on, on a line, a neuron meets those alone that are near."""

RESPONDS, NEAR, BESIDE, ORDER, MARKS = 0, 2, 4, 6, 7
"""Columns of the marks (K, 7): the first, and the one after the last, of the samples that neuron k
responds to, of those that are near its prototype, and of the sorted prototypes near the k-th; and
which that is."""


class Layout(NamedTuple):
    """The sizes of a run, and where its rows begin in ``a``.

    Rows are of P parameters as `Params.flatten` orders them, of N samples (D of them are the
    inputs) or of K neurons, each padded to a multiple of eight. Before them lie

    - at `FIT` to `L2` the weights of the terms; one of 0 leaves a term out;
    - the temperatures of coverage, 0 if it is hard, and of separation (`TAU_COVERAGE` and so on);
    - 2 M, by which separation and overlap divide their sums, in which every pair of neurons is met
      twice (M is `mlpspec.losses.base.n_pairs`);
    - at `TOTAL` the objective, and from `VALUE` on the unweighted values of the terms;
    - the epsilon of the prototypes.
    """

    n: int
    k: int
    d: int
    radial: int
    windowed: int
    size: int  # P
    ns: int  # N, padded
    ks: int  # K, padded
    theta: int
    grad: int
    m: int  # what the optimiser remembers
    s: int
    before: int  # theta of the last step
    x: int
    y: int
    f: int
    r: int  # residuals, scaled
    t: int  # sums over k
    e: int  # a row to work in
    p: int  # prototypes (D, K)
    q: int  # dL/dp (D, K)
    sorted: int  # prototypes in ascending order; before that a row to work in
    h: int  # exponentials, row by row
    end: int


def lay_out(n: int, k: int, d: int, radial: int, windowed: int) -> Layout:
    """Return the layout of a run of N samples, K neurons and D inputs; numba compiles this, too."""
    size = k * (d + 2) + 1
    ns, ks, step = (n + 7) // 8 * 8, (k + 7) // 8 * 8, (size + 7) // 8 * 8
    theta = HEAD
    x = theta + 5 * step
    y = x + d * ns
    p = y + 5 * ns
    h = p + (2 * d + 1) * ks
    sizes = (n, k, d, radial, windowed, size, ns, ks)
    of_params = (theta, theta + step, theta + 2 * step, theta + 3 * step, theta + 4 * step)
    of_samples = (x, y, y + ns, y + 2 * ns, y + 3 * ns, y + 4 * ns)
    return Layout(*sizes, *of_params, *of_samples, p, p + d * ks, h - ks, h, h + k * max(ns, ks))
