"""How far neurons answer to single inputs: the score of monosemanticity, in a batch and online.

The score of a response is its squared distance from the mean of its neuron, in units of the
neuron's variance (`mlpspec.losses.scores`); it is that of Wang et al., "Learning from Emergence",
arXiv:2312.11560. When a score is high (`threshold`), and how often inhibition would hit a response
that is not monosemantic (`false_killing_rate`), is this project's reconstruction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mlpspec.arrays import Array, real_numbers
from mlpspec.errors import InputError
from mlpspec.losses.scores import deviations, responding, scores

LARGEST = 1e150
"""Of what is scored, in magnitude: the square is still a number."""

GRUBBS = (
    *(1.1543, 1.48125, 1.71504, 1.88715, 2.01997, 2.12665),
    *(2.215, 2.28995, 2.35473, 2.41156, 2.46203, 2.50732),
)
"""Critical values, two-sided and at 5 %, of max_n |h_n - mean| / S in 3, 4, ... 14 numbers (Grubbs
1950); a table, since loading what computes them takes longer than measuring."""


def monosemanticity(h: ArrayLike) -> Array:
    """Return the score (N, K) of each response among those of its neuron.

    phi_nk = (h_nk - mean_n h_nk)^2 / S_k^2,    S_k^2 = sum_n (h_nk - mean_n h_nk)^2 / (N - 1)

    It is at most `bound`, which it reaches where a neuron answers one input in its own way and all
    others alike; its mean over the inputs is (N - 1)/N for every neuron. A neuron that does not
    respond, whose responses are equal up to rounding in their precision, has no score: NaN. Any
    activations will do, of any network; they are scored in double precision.

    Parameters
    ----------
    h : (N, K) or (R, N, K)
        Activations of K neurons on N inputs, of R networks.

    Raises
    ------
    ValueError
        Another shape, fewer than two inputs, no neuron, or what is not a finite real number of at
        most 1e150.

    Examples
    --------
    The first neuron answers one input, the second increases, the third is dead:

    >>> monosemanticity([[0, 1, 0], [0, 2, 0], [0, 3, 0], [5, 4, 0]])
    array([[0.25, 1.35,  nan],
           [0.25, 0.15,  nan],
           [0.25, 0.15,  nan],
           [2.25, 1.35,  nan]])
    """
    values, eps = _activations(h, (2, 3), "(N, K) of N inputs and K neurons, or (R, N, K)")
    if values.shape[-2] < 2:
        raise InputError(f"h has shape {values.shape}: one input; a score needs at least two")
    known = responding(values.min(axis=-2), values.max(axis=-2), eps)
    return np.where(known[..., None, :], scores(values), np.nan)


def _activations(h: Any, dimensions: tuple[int, ...], expected: str) -> tuple[Array, float]:
    """Return activations as float64, and the eps of the precision that they came in."""
    given = real_numbers("h", h)
    if given.ndim not in dimensions or 0 in given.shape:
        raise InputError(f"h has shape {given.shape}; expected activations {expected}")
    eps = float(np.finfo(given.dtype).eps) if given.dtype.kind == "f" else 0.0
    values = given.astype(float)
    bad = ~(np.abs(values) <= LARGEST)
    if bad.any():
        place = tuple(np.argwhere(bad)[0].tolist())
        raise InputError(
            f"h{[*place]} is {values[place]:g}; expected finite numbers of at most {LARGEST:g} "
            "(divide all of them by one number, which changes no score)"
        )
    return values, max(eps, float(np.finfo(float).eps))


class RunningMonosemanticity:
    """The score by what was seen so far: inputs arrive one by one or in batches, in one pass.

    Whatever the batches and however they are merged, mean, variance and scores equal those of all
    inputs together to rounding, also where the mean is large beside the variance. The mean is kept
    as a shift and a rest, of which the shift is close to it (`mlpspec.losses.scores.deviations`),
    and the sum of squared deviations from it with what its additions rounded away; two parts are
    put together as by Chan, Golub and LeVeque (1983).

    Examples
    --------
    >>> running = RunningMonosemanticity()
    >>> running.update([1e8, 0.0])
    >>> running.update([[1e8 + 1.0, 0.0], [1e8 + 2.0, 0.0]])
    >>> running.count, running.mean - 1e8, running.variance
    (3, array([ 1.e+00, -1.e+08]), array([1., 0.]))
    >>> running.score([1e8 + 3.0, 0.5])
    array([ 4., nan])
    """

    def __init__(self) -> None:
        self._count = 0
        self._eps = 0.0

    def __repr__(self) -> str:
        neurons = f" of {len(self._shift)} neurons" if self._count else ""
        return f"<RunningMonosemanticity: {self._count} inputs{neurons}>"

    @property
    def count(self) -> int:
        """How many inputs were seen."""
        return self._count

    @property
    def mean(self) -> Array:
        """(K,): of the responses seen so far."""
        self._expect_some()
        return self._shift + self._rest

    @property
    def variance(self) -> Array:
        """(K,): of the sample of responses seen so far (n - 1); NaN after a single input."""
        self._expect_some()
        if self._count < 2:
            return np.full_like(self._shift, np.nan)
        return np.asarray((self._squares + self._rounded) / (self._count - 1))

    def update(self, h: ArrayLike) -> None:
        """Take in the responses (K,) to an input, or (n, K) to several.

        Raises
        ------
        ValueError
            Another shape or number of neurons, or what `monosemanticity` does not take.
        """
        values, eps = self._read(h)
        nothing = np.zeros(values.shape[-1])
        if values.ndim == 1:
            self._combine(1, values, nothing, nothing, nothing, values, values, eps)
            return
        shift, rest, deviation = deviations(values)
        squares = np.square(deviation).sum(axis=-1)
        span = values.min(axis=0), values.max(axis=0)
        self._combine(len(values), shift, rest, squares, nothing, *span, eps)

    def merge(self, other: RunningMonosemanticity) -> None:
        """Take in all that another has seen of the same neurons.

        Raises
        ------
        ValueError
            It is something else, or has seen another number of neurons.

        Examples
        --------
        >>> one, other = RunningMonosemanticity(), RunningMonosemanticity()
        >>> one.update([[0.0], [1.0]])
        >>> other.update([[2.0], [3.0]])
        >>> one.merge(other)
        >>> one
        <RunningMonosemanticity: 4 inputs of 1 neurons>
        >>> one.mean
        array([1.5])
        """
        if not isinstance(other, RunningMonosemanticity):
            raise InputError(
                f"other is a {type(other).__name__}; expected a RunningMonosemanticity"
            )
        if not other._count:
            return
        if self._count and len(self._shift) != len(other._shift):
            raise InputError(
                f"other has seen {len(other._shift)} neurons; expected {len(self._shift)}, as here"
            )
        sums = other._shift, other._rest, other._squares, other._rounded
        self._combine(other._count, *sums, other._low, other._high, other._eps)

    def score(self, h: ArrayLike) -> Array:
        """Return the score of responses (K,) or (n, K) by what was seen so far.

        They need not be among what was seen. NaN for a neuron that did not respond so far, thus for
        all neurons after a single input.

        Raises
        ------
        ValueError
            Nothing was seen yet, or as in `update`.
        """
        self._expect_some()
        values, _ = self._read(h)
        known = responding(self._low, self._high, self._eps)
        deviation = (values - self._shift) - self._rest
        return np.asarray(np.square(deviation) / np.where(known, self.variance, np.nan))

    def _expect_some(self) -> None:
        if not self._count:
            raise InputError("no input was seen yet; update with some first")

    def _read(self, h: Any) -> tuple[Array, float]:
        values, eps = _activations(h, (1, 2), "(K,) of K neurons, or (n, K) of n inputs")
        if self._count and values.shape[-1] != len(self._shift):
            raise InputError(
                f"h has shape {values.shape}; expected {len(self._shift)} neurons, as before"
            )
        return values, eps

    def _combine(
        self,
        count: int,
        shift: Array,
        rest: Array,
        squares: Array,
        rounded: Array,
        low: Array,
        high: Array,
        eps: float,
    ) -> None:
        """Take in a part: its count, mean as shift and rest, squares as sum and rest, and range."""
        self._eps = max(self._eps, eps)
        if not self._count:
            self._count, self._shift, self._rest = count, shift, rest
            self._squares, self._rounded, self._low, self._high = squares, rounded, low, high
            return
        total = self._count + count
        apart = (shift - self._shift) + (rest - self._rest)
        between = np.square(apart) * (self._count * count / total)
        self._shift, error = _two_sum(self._shift, apart * (count / total))
        self._rest = self._rest + error
        self._squares, error = _two_sum(self._squares, squares + between)
        self._rounded = self._rounded + rounded + error
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        self._count = total


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """Return a + b and what rounding took from it (Knuth's two-sum)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def bound(n_inputs: int) -> float:
    """Return the largest score that there can be among N inputs, (N - 1)^2 / N.

    Examples
    --------
    >>> bound(4)
    2.25
    """
    return (n_inputs - 1) ** 2 / n_inputs


def threshold(n_inputs: int) -> float:
    """Return the score above which a response is monosemantic among N; NaN below three inputs.

    The larger of two numbers:

    - half of the `bound`, which no response reaches that the neuron gives to a second input, too;
    - the square of the critical value of Grubbs' test for an outlier (`GRUBBS`), which normally
      distributed responses of a neuron exceed somewhere with a probability of 5 %. It is the larger
      one below 15 inputs, where chance alone takes scores beyond half of the bound.

    Examples
    --------
    >>> [round(threshold(n) / bound(n), 3) for n in (3, 10, 100)]
    [0.999, 0.647, 0.5]
    """
    if n_inputs < 3:
        return np.nan
    half, place = bound(n_inputs) / 2.0, n_inputs - 3
    return max(half, GRUBBS[place] ** 2) if place < len(GRUBBS) else half


def false_killing_rate(h: Array) -> Array:
    """Return the share (R,) of inhibited responses that are not monosemantic in the end.

    Inputs come one by one, in the order of the data. A response is inhibited if its score by what
    was seen so far, itself included, exceeds the `threshold` of so many inputs; it is monosemantic
    if its score among all N exceeds that of N. NaN where nothing is inhibited, as with fewer than
    three inputs.

    Parameters
    ----------
    h : (R, N, K)
        Finite responses.

    Examples
    --------
    The fourth of five inputs stands out from three that are alike, but the fifth is answered, too:

    >>> h = np.array([0.0, 0.0, 1e-3, 1.0, 0.9])
    >>> false_killing_rate(h[None, :, None])
    array([1.])
    """
    n_runs, n_inputs, n_hidden = h.shape
    inhibited, wrongly = np.zeros(n_runs), np.zeros(n_runs)
    running = RunningMonosemanticity()
    final = scores(h) > threshold(n_inputs) if n_inputs > 2 else np.zeros(h.shape, bool)
    for n in range(n_inputs):
        now = h[:, n].ravel()
        running.update(now)
        hit = (running.score(now) > threshold(n + 1)).reshape(n_runs, n_hidden)
        inhibited += hit.sum(axis=1)
        wrongly += (hit & ~final[:, n]).sum(axis=1)
    return np.asarray(wrongly / np.where(inhibited, inhibited, np.nan))
