"""Means, medians, intervals and paired tests: few, and exact where they can be.

One rule for what is undefined: a value that is not finite counts as missing. `defined` makes it
NaN, every function here leaves it out, and a count beside the number says how many values it is
of. Nothing here warns.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mlpspec.arrays import Array
from mlpspec.errors import unknown

ALPHA = 0.05
"""Significance level."""

EXACT_PAIRS = 200
"""Up to so many pairs a test is exact; beyond, it would only take longer."""

ALTERNATIVES = ("two-sided", "less", "greater")
"""What a test of differences may be against no difference."""

ROUNDING = 16 * np.finfo(float).eps
"""Of the magnitude of some values: what rounding in a few operations may set them apart."""


def defined(values: ArrayLike) -> Array:
    """Return values as floats, with NaN for what is not finite.

    Examples
    --------
    >>> defined([1.0, np.inf, np.nan])
    array([ 1., nan, nan])
    """
    found = np.asarray(values, dtype=float)
    return np.where(np.isfinite(found), found, np.nan)


def less(values: ArrayLike, others: ArrayLike) -> Array:
    """Return the differences of two arrays, NaN where one of them, or the result, is undefined.

    Examples
    --------
    >>> less([3.0, np.inf], [1.0, np.inf])
    array([ 2., nan])
    """
    with np.errstate(over="ignore"):
        return defined(defined(values) - defined(others))


def beyond_rounding(values: ArrayLike, magnitude: ArrayLike) -> Array:
    """Return spreads or other differences, NaN where they are no more than rounding.

    That is at most `ROUNDING` times the magnitude of the numbers that they are differences of.

    Examples
    --------
    >>> beyond_rounding([1e-16, 0.5, 0.0], [1.0, 1.0, 0.0])
    array([nan, 0.5, nan])
    """
    found = np.asarray(values, dtype=float)
    return np.where(found > ROUNDING * np.asarray(magnitude), found, np.nan)


def average(values: Array, of: str = "means") -> Array:
    """Return the means or the medians (M,) of the defined values in the columns of (n, M).

    NaN where a column has none.

    Parameters
    ----------
    values : (n, M)
    of : {"means", "medians"}

    Examples
    --------
    >>> values = np.array([[1.0, np.inf], [3.0, np.nan], [8.0, np.nan]])
    >>> average(values), average(values, "medians")
    (array([ 4., nan]), array([ 3., nan]))
    """
    if of not in ("means", "medians"):
        raise unknown("average", of, ("means", "medians"))
    known = np.isfinite(values)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore", over="ignore"):
        if of == "means":
            return defined(np.where(known, values, 0.0).sum(axis=0) / count)
        ordered = np.sort(np.where(known, values, np.inf), axis=0)
        ordered = np.vstack([ordered, np.full((1, ordered.shape[1]), np.inf)])  # if there are none
        middle = np.array([(count - 1) // 2, count // 2])
        return defined(np.take_along_axis(ordered, middle, axis=0).mean(axis=0))


def summaries(values: Array) -> dict[str, Array]:
    """Return statistics (M,) of the defined values in the rows of (M, n), by name.

    ``count`` of them, ``mean``, ``median``, ``std`` of the sample (n - 1), and the quartiles
    ``q25`` and ``q75``, which interpolate linearly. A statistic without values, or too large for
    a number, is NaN.

    Examples
    --------
    >>> found = summaries(np.array([[1.0, 2.0, np.inf]]))
    >>> found["count"], found["mean"], found["q25"]
    (array([2]), array([1.5]), array([1.25]))
    """
    values = defined(values)
    known = ~np.isnan(values)
    found = np.full((5, len(values)), np.nan)
    # Rows that lack the same values, as a rule none, go together.
    for pattern in np.unique(known, axis=0):
        rows = np.flatnonzero((known == pattern).all(axis=1))
        some = np.ascontiguousarray(values[rows][:, pattern])
        if some.size:
            with np.errstate(over="ignore", invalid="ignore"):
                q25, median, q75 = np.quantile(some, (0.25, 0.5, 0.75), axis=1)
                several = some.shape[1] > 1
                std = some.std(axis=1, ddof=1) if several else np.full(len(rows), np.nan)
                found[:, rows] = [some.mean(axis=1), median, std, q25, q75]
    names = ("mean", "median", "std", "q25", "q75")
    return {"count": known.sum(axis=1), **dict(zip(names, defined(found), strict=True))}


class Interval(NamedTuple):
    """A median with an exact confidence interval."""

    median: float
    low: float
    high: float
    confidence: float


def median_interval(values: Array) -> Interval:
    """Return the median of ``values`` (n,) with its order-statistic interval.

    The k-th smallest and k-th largest value enclose the median of any continuous distribution
    with probability 1 - 2 P(Binomial(n, 1/2) < k); k is the largest with at least 95 %, or 1
    where no interval reaches it (n < 6). Undefined values are left out.

    Examples
    --------
    >>> median, low, high, confidence = median_interval(np.arange(10.0))
    >>> median, low, high, round(confidence, 4)
    (4.5, 1.0, 8.0, 0.9785)
    """
    ordered = np.sort(values[np.isfinite(values)])
    n = len(ordered)
    if n == 0:
        return Interval(np.nan, np.nan, np.nan, np.nan)
    k, confidence = interval_rank(n)
    (median,) = average(ordered[:, None], "medians").tolist()
    return Interval(median, float(ordered[k - 1]), float(ordered[n - k]), confidence)


@cache
def interval_rank(n: int) -> tuple[int, float]:
    """Return k of the `median_interval` of n values, and the probability that it holds the median.

    Examples
    --------
    >>> interval_rank(6)
    (1, 0.96875)
    """
    from scipy.stats import binom  # here: it takes a quarter of a second, which training is spared

    # The quantile is the first k with P(X <= k) at or above the tail's share.
    k = max(int(binom.ppf((1.0 - 0.95) / 2.0, n, 0.5)), 1)
    return k, max(1.0 - 2.0 * float(binom.cdf(k - 1, n, 0.5)), 0.0)


def sign_flip(differences: Array, alternative: str = "two-sided") -> Array:
    """Return the p-values (M,) of sign-flip permutation tests of paired differences (n, M).

    Under the null hypothesis a difference is as likely as its opposite. The statistic is the sum
    of signed ranks, sum_i sign(d_i) rank(|d_i|), which no single large difference can carry: this
    is the signed-rank test of Wilcoxon (1945). Undefined differences and zeros are left out before
    the others are ranked; ties share their mean rank. The p-value is that of all 2^n flips,
    with ties and without, and 1 where no pair is left; above `EXACT_PAIRS` pairs, it is that of
    the normal distribution with the same variance.

    Parameters
    ----------
    differences : (n, M)
    alternative : {"two-sided", "less", "greater"}
        ``"less"``: the differences lie below zero.

    Examples
    --------
    >>> sign_flip(np.array([[1.0], [2.0], [4.0], [0.0]]))
    array([0.25])
    """
    if alternative not in ALTERNATIVES:
        raise unknown("alternative", alternative, ALTERNATIVES)
    from scipy.special import ndtr
    from scipy.stats import rankdata

    d = np.asarray(differences, dtype=float)
    counts = np.isfinite(d) & (d != 0.0)
    if not counts.any():
        return np.ones(d.shape[1])
    # What does not count ranks last, and so changes no other rank. Halves are doubled away.
    ranks = np.rint(2.0 * rankdata(np.where(counts, np.abs(d), np.inf), axis=0)).astype(int)
    p = np.ones(d.shape[1])
    for m in np.flatnonzero(counts.any(axis=0)):
        mine = ranks[counts[:, m], m]
        positive = mine[d[counts[:, m], m] > 0.0].sum()
        negative = mine.sum() - positive
        tail = {"less": positive, "greater": negative}.get(alternative, min(positive, negative))
        if len(mine) <= EXACT_PAIRS:
            p[m] = _at_most(tuple(sorted(mine.tolist())))[tail]
        else:
            p[m] = ndtr((2.0 * tail - mine.sum()) / np.linalg.norm(mine))
    return np.minimum(2.0 * p if alternative == "two-sided" else p, 1.0)


@lru_cache(maxsize=1024)
def _at_most(ranks: tuple[int, ...]) -> Array:
    """Return P(S <= s) for s from 0 on: S sums each of the ranks or not, by a fair coin each."""
    probability, reach = np.zeros(sum(ranks) + 1), 1
    probability[0] = 1.0
    for rank in ranks:
        moved = probability[:reach] / 2.0
        probability[:reach] = moved
        probability[rank : rank + reach] += moved
        reach += rank
    return np.asarray(probability.cumsum())


def least_p(n_nonzero: Array | int) -> Array:
    """Return the smallest two-sided p-value that so many non-zero pairs can reach.

    Examples
    --------
    >>> least_p(np.array([0, 3, 10]))
    array([1.        , 0.25      , 0.00195312])
    """
    return np.minimum(2.0 ** (1.0 - np.asarray(n_nonzero)), 1.0)


def holm(p: Array) -> Array:
    """Return the p-values of Holm's step-down method for a family (m,).

    The i-th smallest is multiplied by m - i + 1, made monotone and cut at 1 (Holm 1979).

    Examples
    --------
    >>> holm(np.array([0.01, 0.5, 0.04]))
    array([0.03, 0.5 , 0.08])
    """
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def win_share(differences: Array) -> float:
    """Return the share of differences (n,) below zero, ties at half, of those that are defined.

    Examples
    --------
    >>> win_share(np.array([-1.0, 2.0, 0.0, np.nan]))
    0.5
    """
    d = differences[np.isfinite(differences)]
    return float(((d < 0).mean() + 0.5 * (d == 0).mean()) if len(d) else np.nan)


def hill_index(values: Array) -> float:
    """Return Hill's estimate of the tail index of ``values`` (n,).

    Below 2 the variance is infinite, and a mean says little. The estimate is
    1 / mean_i log(v_(i) / v_(k+1)) over the k largest absolute values, k = max(3, n / 10); NaN
    with fewer than ten values or where the tail is constant or zero.

    Examples
    --------
    >>> round(hill_index(1.0 / np.arange(1.0, 51.0)), 2)
    1.2
    """
    magnitude = np.sort(np.abs(values[np.isfinite(values)]))[::-1]
    k = max(3, len(magnitude) // 10)
    if len(magnitude) < 10 or magnitude[k] <= 0.0 or magnitude[0] == magnitude[k]:
        return np.nan
    tail = float((np.log(magnitude[:k]) - np.log(magnitude[k])).mean())
    return 1.0 / tail if tail > 0.0 else np.nan
