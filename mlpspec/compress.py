"""Compression of trained networks: pruning, quantisation, distillation into a narrower student.

Functions of parameters with the run axis R, and of nothing else. `pruned` leaves neurons out, and
four functions say which ones to keep: those that serve an input (`serving`), the highest
(`highest`), those that the fit needs most (`needed`), and, as a null, any (`drawn`). `refitted`
solves for heights and constant anew. `quantised` rounds. A student is trained on its teacher's
outputs (`taught`).

The setting ``compress`` of a run names one of `COMPRESSIONS`, with its numbers: what is measured
and stored is then the compressed network. Sources: magnitude pruning, Han et al. 2015
(arXiv:1506.02626); removal by loss of fit, Mozer & Smolensky 1988; refitting what is left by least
squares, He et al. 2017 (arXiv:1707.06168); uniform quantisation, Jacob et al. 2018
(arXiv:1712.05877); distillation, Hinton et al. 2015 (arXiv:1503.02531).

Examples
--------
>>> from mlpspec import RidgeParams
>>> at, height = np.array([[-0.5], [0.0], [0.5]]), np.array([1.0, 0.1, -1.0])
>>> params = RidgeParams.placed(at, np.full(3, 4.0), height)
>>> pruned(params, highest(params, 2)).prototypes.round(3).tolist()
[[[-0.5], [0.5]]]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlpspec.arrays import Array, real_numbers
from mlpspec.errors import InputError, expect_number
from mlpspec.metrics.prototypes import nearest
from mlpspec.network.forward import checked, forward
from mlpspec.network.neurons import Params, expect_shape

Mask = NDArray[np.bool_]

NONE = "none"
"""What the setting is unless a network is compressed."""

MOST_BITS = 32
"""Of a quantised number: with more, rounding errors are no smaller than those of the arithmetic."""

RANK = 1e-8
"""Share of the largest singular value below which `refitted` takes one for zero."""

# ------------------------------------------------------------------------- which neurons to keep


def count_kept(n_hidden: int, keep: float) -> int:
    """Return K' = max(1, floor(keep K + 1/2)): how many neurons a share of K is.

    Examples
    --------
    >>> count_kept(10, 0.25), count_kept(5, 0.01)
    (3, 1)
    """
    return max(1, math.floor(keep * n_hidden + 0.5))


def serving(params: Params, x: Array) -> Mask:
    """Return which neurons (R, K) serve an input: their prototype is nearest to at least one.

    What is left are those that `mlpspec.metrics.prototypes.usage_ratio` counts; of equally near
    ones that is the first. A prototype that is not finite serves nothing, unless none is.

    Parameters
    ----------
    params : RidgeParams or RadialParams
    x : (R, N, D)

    Examples
    --------
    >>> from mlpspec import RidgeParams
    >>> params = RidgeParams.placed(np.array([[0.1], [5.0], [1.0]]), np.ones(3), np.ones(3))
    >>> serving(params, np.array([[[0.0], [1.0], [1.2]]]))
    array([[ True, False,  True]])
    """
    x = real_numbers("x", x)
    x, _ = checked(params, x, np.zeros(x.shape[:2]))
    p = params.prototypes
    _, winners = nearest(x, np.where(np.isfinite(p), p, np.inf))
    kept = np.zeros(p.shape[:2], dtype=bool)
    np.put_along_axis(kept, winners, True, axis=1)
    return kept


def highest(params: Params, count: int) -> Mask:
    """Return the ``count`` neurons (R, K) with the largest |v_k|; the first of equals.

    Examples
    --------
    >>> from mlpspec import RidgeParams
    >>> height = np.array([0.5, -2.0, 1.0])
    >>> highest(RidgeParams.placed(np.zeros((3, 1)), np.ones(3), height), 2)
    array([[False,  True,  True]])
    """
    _check_count(params, count)
    return _first(np.argsort(-np.abs(params.output_weight), axis=1, kind="stable"), count)


def needed(params: Params, x: Array, y: Array, count: int) -> Mask:
    """Return the ``count`` neurons (R, K) that are left when the least needed go one by one.

    Next goes the one without which the mean squared error, given those that have gone, is least:
    with r_n = f_n - y_n and a_nk = v_k h_nk, the k of the least mean_n (r_n - a_nk)^2, after which
    r_n is r_n - a_nk. The constant c and the other heights stay as they are (`refitted` changes
    them).

    Parameters
    ----------
    params : RidgeParams or RadialParams
    x : (R, N, D)
    y : (R, N)
    count : int

    Examples
    --------
    Two equal neurons give twice the target between them, so that one of them must go:

    >>> from mlpspec import RidgeParams
    >>> at = np.array([[0.0], [0.0], [9.0]])
    >>> params = RidgeParams.placed(at, np.ones(3), np.ones(3))
    >>> needed(params, np.array([[[0.0], [9.0]]]), np.ones((1, 2)), 2)
    array([[False,  True,  True]])
    """
    _check_count(params, count)
    net = forward(params, x, y)
    parts = net.hidden * params.output_weight[:, None]
    residual = net.output - net.y
    kept = np.ones(params.output_weight.shape, dtype=bool)
    for _ in range(params.shape[1] - count):
        error = np.square(residual[:, :, None] - parts).mean(axis=1)
        gone = np.where(kept, error, np.inf).argmin(axis=1)[:, None]
        np.put_along_axis(kept, gone, False, axis=1)
        residual = residual - np.take_along_axis(parts, gone[:, None], axis=2)[:, :, 0]
    return kept


def drawn(params: Params, count: int, streams: Sequence[np.random.Generator]) -> Mask:
    """Return ``count`` neurons (R, K) at random, each run's from its stream: a null.

    They are the first of one permutation, so that what is kept of few is kept of many.

    Examples
    --------
    >>> from mlpspec import RidgeParams
    >>> params = RidgeParams.placed(np.zeros((3, 1)), np.ones(3), np.ones(3))
    >>> drawn(params, 2, [np.random.default_rng(0)]).sum()
    np.int64(2)
    """
    n_hidden = _check_count(params, count)
    expect_shape("streams", streams, params.shape[:1])
    return _first(np.stack([rng.permutation(n_hidden) for rng in streams]), count)


def _check_count(params: Params, count: int) -> int:
    """Return K, or raise `InputError` where so many neurons cannot be kept."""
    n_hidden = params.shape[1]
    expect_number(f"count is {count}", count, whole=True)
    if not 1 <= count <= n_hidden:
        raise InputError(f"count is {count}; it must be from 1 to K, the {n_hidden} there are")
    return n_hidden


def _first(order: NDArray[np.intp], count: int) -> Mask:
    """Return a mask (R, K) of the first in an order (R, K)."""
    kept = np.zeros(order.shape, dtype=bool)
    np.put_along_axis(kept, order[:, :count], True, axis=1)
    return kept


# ------------------------------------------------------------------------- what is done


def pruned(params: Params, kept: Mask) -> Params:
    """Return the networks of the ``kept`` neurons (R, K) alone, in their order.

    Raises
    ------
    ValueError
        No neuron of a run is kept, or not as many of each: prune such runs one by one; or
        ``kept`` is no mask.

    Examples
    --------
    >>> from mlpspec import RidgeParams
    >>> params = RidgeParams.placed(np.array([[0.0], [0.5]]), np.ones(2), np.array([1.0, 3.0]))
    >>> pruned(params, np.array([[False, True]])).output_weight
    array([[3.]])
    """
    kept = np.asarray(kept)
    expect_shape("kept", kept, params.output_weight.shape)
    if kept.dtype != bool:
        raise InputError(f"kept is {kept.dtype}; expected True or False for each neuron")
    counts = kept.sum(axis=1)
    if counts.min() == 0 or counts.min() < counts.max():
        raise InputError(
            f"kept leaves {counts.min()} to {counts.max()} neurons a run; keep at least one, and "
            "as many of each run, or prune the runs one by one"
        )
    return params.neurons(np.nonzero(kept)[1].reshape(len(kept), -1))


def refitted(params: Params, x: Array, y: Array) -> Params:
    """Return the networks with the heights v and the constant c that fit best.

    They solve min mean_n (sum_k v_k h_nk + c - y_n)^2. Of equally good ones they are those that
    differ least from the present ones; singular values below `RANK` of the largest count as zero.

    Parameters
    ----------
    params : RidgeParams or RadialParams
    x : (R, N, D)
    y : (R, N)

    Examples
    --------
    >>> from mlpspec import RidgeParams
    >>> params = RidgeParams.placed(np.array([[0.0]]), np.array([9.0]), np.ones(1))
    >>> again = refitted(params, np.array([[[0.0], [1.0]]]), np.array([[3.0, 2.0]]))
    >>> again.output_weight, again.output_bias
    (array([[1.]]), array([2.]))
    """
    net = forward(params, x, y)
    ones = np.ones((*net.y.shape, 1), dtype=net.y.dtype)
    found = np.concatenate([params.output_weight, params.output_bias[:, None]], axis=1)
    columns = np.concatenate([net.hidden, ones], axis=2)
    for row, (basis, missing) in enumerate(zip(columns, net.y - net.output, strict=True)):
        found[row] += np.linalg.lstsq(basis, missing, rcond=RANK)[0]
    values = {**vars(params), "output_weight": found[:, :-1], "output_bias": found[:, -1]}
    return type(params)(**values)


def quantised(params: Params, bits: int) -> Params:
    """Return the networks with every number rounded to the nearest of 2^bits levels.

    The levels of a field of a run are equally far apart from its least to its greatest value, lo
    and hi: lo + i (hi - lo) / (2^bits - 1). So a number moves by at most half of
    (hi - lo) / (2^bits - 1). A field of one value, as c is, keeps it.

    Raises
    ------
    ValueError
        ``bits`` is no whole number, below 1 or above `MOST_BITS`.

    Examples
    --------
    >>> from mlpspec import RidgeParams
    >>> height = np.array([0.0, 0.3, 0.9, 1.0])
    >>> params = RidgeParams.placed(np.zeros((4, 1)), np.ones(4), height)
    >>> quantised(params, 1).output_weight
    array([[0., 0., 1., 1.]])
    """
    steps = 2.0 ** quantise(bits).bits - 1.0
    found = {}
    for name, value in vars(params).items():
        flat = value.reshape(len(value), -1).astype(float)
        low, high = flat.min(axis=1, keepdims=True), flat.max(axis=1, keepdims=True)
        width = high / 2.0 - low / 2.0  # halves: the difference may be too large for a number
        share = np.divide(flat / 2.0 - low / 2.0, width, where=width > 0.0, out=np.zeros_like(flat))
        share = np.rint(share * steps) / steps
        rounded = low * (1.0 - share) + high * share  # lo and hi themselves at both ends
        found[name] = rounded.reshape(value.shape).astype(value.dtype)
    return type(params)(**found)


def taught(teacher: Params, x: Array) -> Array:
    """Return what a student learns at inputs x (R, N, D): the teacher's outputs (R, N).

    A teacher can be asked anywhere, not only where it was trained; between its data it says what
    it has made of them.

    Examples
    --------
    >>> from mlpspec import Objective, RidgeParams, train
    >>> place = RidgeParams.placed
    >>> teacher = place(np.array([[-0.5], [0.5]]), np.full(2, 0.5), np.ones(2))
    >>> x = np.linspace(-1.0, 1.0, 9)[None, :, None]
    >>> start = place(np.array([[0.2]]), np.ones(1), np.ones(1))
    >>> student = train(Objective(), start, x, taught(teacher, x)).params
    >>> bool(np.abs(taught(student, x) - taught(teacher, x)).max() < 0.02)
    True
    """
    x = real_numbers("x", x)
    return forward(teacher, x, np.zeros(x.shape[:2])).output


# ------------------------------------------------------------------------- as a setting


class Compression(NamedTuple):
    """What is done to a trained network, by one of `COMPRESSIONS`, and with which numbers.

    Examples
    --------
    >>> prune_height(keep=0.25)
    Compression(name='prune_height', keep=0.25, refit=0, bits=0, more=0)
    """

    name: str
    keep: float = 1.0
    """Share of the neurons that are left, or that a student has."""

    refit: int = 0
    """Whether heights and constant are solved for anew: 0 or 1."""

    bits: int = 0
    more: int = 0
    """Inputs that a teacher is asked at beside the data, for each of them."""

    @property
    def student(self) -> bool:
        """Whether another network is trained, narrower than the first one."""
        return self.name in ("distil", "narrow")

    def apply(
        self, params: Params, x: Array, y: Array, streams: Sequence[np.random.Generator]
    ) -> Params:
        """Return the networks, compressed; a student is not for here to train.

        Parameters
        ----------
        params : RidgeParams or RadialParams
        x : (R, N, D)
        y : (R, N)
        streams : sequence of R generators
            The streams that neurons are drawn from.

        Examples
        --------
        >>> from mlpspec import RidgeParams
        >>> params = RidgeParams.placed(np.array([[0.0], [9.0]]), np.ones(2), np.ones(2))
        >>> left = prune_unused().apply(params, np.zeros((1, 2, 1)), np.ones((1, 2)), [])
        >>> left.shape
        (1, 1, 1)
        """
        if self.name == "quantise":
            return quantised(params, self.bits)
        count = count_kept(params.output_weight.shape[1], self.keep)
        choose: dict[str, Callable[[], Mask]] = {
            "prune_unused": lambda: serving(params, x),
            "prune_height": lambda: highest(params, count),
            "prune_fit": lambda: needed(params, x, y, count),
            "prune_random": lambda: drawn(params, count, streams),
        }
        if self.name not in choose:
            return params
        left = pruned(params, choose[self.name]())
        return refitted(left, x, y) if self.refit else left


def none() -> Compression:
    """Return no compression.

    Examples
    --------
    >>> none().name
    'none'
    """
    return Compression(NONE)


def prune_unused(refit: int = 0) -> Compression:
    """Return pruning of the neurons that serve no input; see `serving`.

    Examples
    --------
    >>> prune_unused().refit
    0
    """
    return _checked(Compression("prune_unused", refit=refit))


def prune_height(keep: float = 0.5, refit: int = 0) -> Compression:
    """Return pruning by |v|, down to a share of the neurons; see `highest`.

    Examples
    --------
    >>> prune_height(0.0)
    Traceback (most recent call last):
    mlpspec.errors.InputError: prune_height has keep=0; it must be above 0 and at most 1
    """
    return _checked(Compression("prune_height", keep, refit))


def prune_fit(keep: float = 0.5, refit: int = 0) -> Compression:
    """Return pruning by loss of fit, down to a share of the neurons; see `needed`.

    Examples
    --------
    >>> prune_fit(0.25, refit=1)[:3]
    ('prune_fit', 0.25, 1)
    """
    return _checked(Compression("prune_fit", keep, refit))


def prune_random(keep: float = 0.5, refit: int = 0) -> Compression:
    """Return pruning at random, down to a share of the neurons: a null; see `drawn`.

    Examples
    --------
    >>> prune_random().keep
    0.5
    """
    return _checked(Compression("prune_random", keep, refit))


def quantise(bits: int = 8) -> Compression:
    """Return rounding to 2^bits levels a field; see `quantised`.

    Examples
    --------
    >>> quantise(0)
    Traceback (most recent call last):
    mlpspec.errors.InputError: quantise has bits=0; it must be at least 1 and at most 32
    """
    expect_number(f"quantise has bits={bits}", bits, whole=True, least=1, most=MOST_BITS)
    return Compression("quantise", bits=bits)


def distil(keep: float = 0.5, more: int = 3) -> Compression:
    """Return training of a student with a share of the neurons on the network's outputs.

    They are those at its inputs and at ``more`` times as many others of the domain (`taught`).

    Examples
    --------
    >>> distil().student, distil().more
    (True, 3)
    """
    expect_number(f"distil has more={more}", more, whole=True, least=0, most=100)
    return _checked(Compression("distil", keep, more=more))


def narrow(keep: float = 0.5) -> Compression:
    """Return training of the student on the data themselves: a null for what it is taught.

    Examples
    --------
    >>> narrow(0.2).keep
    0.2
    """
    return _checked(Compression("narrow", keep))


def _checked(found: Compression) -> Compression:
    expect_number(f"{found.name} has keep={found.keep:g}", found.keep, above=0.0, most=1.0)
    if found.refit not in (0, 1):
        raise InputError(f"{found.name} has refit={found.refit}; it must be 0 or 1")
    return found


COMPRESSIONS: dict[str, Callable[..., Compression]] = {
    function.__name__: function
    for function in (
        none,
        prune_unused,
        prune_height,
        prune_fit,
        prune_random,
        quantise,
        distil,
        narrow,
    )
}
"""What may be done to a trained network, by name, as functions of numbers that have a default."""
