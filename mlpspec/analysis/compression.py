"""What survives compression, and down to which level: is a specialised network smaller?

One standard is common to all subsets, methods and levels: the *whole baseline network* of the same
N and seed. A quantity survives at a level if, of the compressed network, it is worse than that by
no more than the margin of the claims: the fit leaves at most 0.05 more of the variance unexplained,
the nearest error is at most a tenth of the mean spacing larger, hits and usage are at most 0.05
lower (a hit is 1/N, so that at N = 5 and 10 not one may be lost). Were each network judged by
itself when whole, one that is bad to begin with would have nothing to lose.

The *smallest level* of a run is the share of its neurons (or the bits of its numbers) down to which
a quantity survives at every level that was tried. Where it does not even survive the first of them,
it is that of the whole network (1, or 64 bits) if the whole network meets the standard, and else
"at no level", one step above (1.1, or 65 bits). A network is smaller than another if its smallest
level is lower.

What serves no input is left out to no level: of that method it is said how many neurons it leaves,
and the fit.

All quantities are over the N inputs, since those over the neurons that are left flatter the few.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlpspec.analysis.claims import margin_of
from mlpspec.analysis.comparisons import Grid, add_holm, as_table, median_columns
from mlpspec.arrays import Array
from mlpspec.compress import COMPRESSIONS, NONE, count_kept
from mlpspec.data.spec import Call, arguments, numbers_of
from mlpspec.metrics.statistics import defined, less, median_interval, sign_flip
from mlpspec.store.tables import Table

USED = "used_share"
"""In place of a measurement: neurons that are some input's nearest, over N."""

FIELDS = ("n_samples", "compress")
"""What a cell of the study is made of."""


class Size(NamedTuple):
    """What the networks at one N share: the mean spacing of the inputs, and K of whole networks."""

    spacing: float
    width: int


Sizes = Mapping[int, Size]
"""By N."""


class Quantity(NamedTuple):
    """What may survive: a measurement, within the margin of the claims."""

    name: str
    measurement: str
    sign: int
    """1 where more is worse, -1 where less is."""

    def allowed(self, whole: Array, spacing: float) -> Array:
        """Return the worst that survives, given what the whole baseline networks have.

        Examples
        --------
        >>> hits = QUANTITIES[1]
        >>> hits.allowed(np.array([0.5]), 0.2).round(3)
        array([0.45])
        """
        return whole + self.sign * margin_of(self.measurement, spacing)


QUANTITIES = (
    Quantity("fit", "fit_fvu", 1),
    Quantity("hits", "hit_rate", -1),
    Quantity("nearness", "nearest_error", 1),
    Quantity("usage", USED, -1),
)

NULLS = {
    "prune_height": "prune_random",
    "prune_fit": "prune_random",
    "prune_fit(refit=1)": "prune_random(refit=1)",
    "distil": "narrow",
}
"""What each method is compared with: what a level costs when nothing was chosen or taught.

Between subsets nulls are not compared: the narrow student is the same network for all of them.
"""

BITS = 64.0
"""Of a number that is not quantised."""

STEP = {1.0: 0.1, BITS: 1.0}
"""By the level of the whole network: how far above it "at no level" is."""

UNUSED = ("neurons_left", "fit_fvu")
"""What is said of a method without levels, in place of quantities."""


def method_of(text: str) -> tuple[str, float]:
    """Return how a network was compressed, and the level; NaN where there is none to choose.

    Examples
    --------
    >>> method_of("prune_fit(keep=0.2,refit=1)"), method_of("quantise(bits=3)")
    (('prune_fit(refit=1)', 0.2), ('quantise', 3.0))
    """
    name, numbers = arguments(text, COMPRESSIONS, "compress")
    default = numbers_of(COMPRESSIONS[name])
    level = numbers.pop("keep", numbers.pop("bits", np.nan))
    others = {key: value for key, value in numbers.items() if value != default[key]}
    return str(Call(name, (), others)), float(level)


def methods_of(values: Iterable[str]) -> dict[str, dict[float, str]]:
    """Return values of the setting by method and level, the levels descending.

    Examples
    --------
    >>> methods_of(["none", "narrow(keep=0.2)", "narrow"])
    {'narrow': {0.5: 'narrow', 0.2: 'narrow(keep=0.2)'}}
    """
    found: dict[str, dict[float, str]] = {}
    for text in values:
        method, level = method_of(text)
        if method != NONE:
            found.setdefault(method, {})[level] = text
    return {method: dict(sorted(levels.items(), reverse=True)) for method, levels in found.items()}


def applies(grid: Grid) -> bool:
    """Return whether there are whole and compressed networks, and nothing else varies but N."""
    settings = {cell[-1] for cell in grid.cells} if grid.fields == FIELDS else {*()}
    return NONE in settings and "neurons_left" in grid.names


def values_of(grid: Grid, cell: tuple[int, str], label: str, measurement: str, width: int) -> Array:
    """Return a measurement, or `USED`, by seed (S,); whole networks have ``width`` neurons."""
    if measurement != USED:
        return grid.values(cell, label, measurement)
    size, text = cell
    left = width if text == NONE else grid.values(cell, label, "neurons_left")
    return defined(grid.values(cell, label, "usage_ratio") * np.minimum(left, size) / size)


def smallest(levels: Array, survives: NDArray[np.bool_]) -> Array:
    """Return the smallest level (S,) down to which something survives at all levels.

    Parameters
    ----------
    levels : (L + 1,)
        Descending: "at no level", that of whole networks, and those that were tried.
    survives : (L, S)
        Whether it survives in the whole network, and at the levels that were tried. Where the
        first of these survives, the whole network does not matter.

    Examples
    --------
    >>> survives = np.array([[True, True, False], [True, False, False], [False, True, True]])
    >>> smallest(np.array([1.1, 1.0, 0.5, 0.2]), survives)
    array([0.5, 1. , 1.1])
    """
    count = np.logical_and.accumulate(survives[1:], axis=0).sum(axis=0)
    return np.asarray(levels[np.where(count > 0, count + 1, survives[0])])


def smallest_levels(grid: Grid, sizes: Sizes) -> Table:
    """Return ``compression.csv``: the smallest levels of every quantity, method, N and subset.

    ``level`` is the median over seeds with its exact interval (``low``, ``high``). Differences are
    paired over seeds, medians with exact intervals: from the baseline (``difference`` ..., with the
    p-value of the sign-flip test, plain and after Holm over the subsets and N of a quantity and
    method), and, where the method has a null, from that (``over_null`` ...). Nulls have no
    differences from the baseline. Of a method without levels ``quantity`` is one of `UNUSED`, and
    ``level`` its value.
    """
    rows: list[dict[str, Any]] = []
    methods = methods_of(text for _, text in grid.cells)
    cells = list(itertools.product(methods, sorted(sizes), grid.labels))
    for quantity in QUANTITIES:
        rows += _compared(
            quantity.name,
            {
                (method, size, label): _of_runs(grid, quantity, levels, size, label, sizes[size])
                for method, size, label in cells
                if np.isfinite([*(levels := methods[method])]).all()
            },
        )
    for name in UNUSED:
        rows += _compared(
            name,
            {
                (method, size, label): grid.values((size, text), label, name)
                for method, size, label in cells
                for level, text in methods[method].items()
                if np.isnan(level)
            },
        )
    return as_table(rows)


def _compared(quantity: str, by_method: dict[tuple[str, int, str], Array]) -> list[dict[str, Any]]:
    """Return the rows of a quantity, from values (S,) by method, N and subset."""
    rows: list[dict[str, Any]] = []
    tested: list[dict[str, Any]] = []
    for (method, size, label), found in by_method.items():
        medians = median_columns(found)
        level = medians.pop("value")
        unknown = np.full_like(found, np.nan)
        of_null = by_method.get((NULLS.get(method, ""), size, label), unknown)
        twin = by_method.get((method, size, "baseline"), unknown)
        null = method in NULLS.values()
        # Rounded: of equal differences of levels none is larger by its rounding error.
        gap = less(found, unknown if null else twin).round(9)
        compared = label != "baseline" and not null
        row = {
            "quantity": quantity,
            "method": method,
            "n_samples": size,
            "losses": label,
            "level": level,
            **medians,
            **_interval("difference", gap),
            "p": sign_flip(gap[:, None])[0] if compared else np.nan,
            **_interval("over_null", less(found, of_null).round(9)),
            "p_holm": np.nan,
        }
        rows.append(row)
        if compared:
            tested.append(row)
    add_holm(tested, "method")
    return rows


def _of_runs(
    grid: Grid, quantity: Quantity, levels: dict[float, str], n_samples: int, label: str, size: Size
) -> Array:
    """Return the smallest levels by seed (S,); NaN where a whole network is missing."""

    def values(text: str, label: str = label) -> Array:
        return values_of(grid, (n_samples, text), label, quantity.measurement, size.width)

    baseline, whole = values(NONE, "baseline"), values(NONE)
    worst = quantity.allowed(baseline, size.spacing)
    worse = [quantity.sign * (found - worst) for found in (whole, *map(values, levels.values()))]
    survives = np.array(worse) <= 1e-12  # up to rounding; what is undefined does not survive
    top = BITS if max(levels) > 1.0 else 1.0
    at = [top + STEP[top], top, *(left_at(level, size) for level in levels)]
    found = smallest(np.array(at), survives)
    return np.where(np.isfinite(baseline + whole), found, np.nan)


def left_at(level: float, size: Size) -> float:
    """Return which share of the neurons of a whole network a level leaves; bits as they are.

    Examples
    --------
    >>> left_at(0.5, Size(0.4, 5)), left_at(4.0, Size(0.4, 5))
    (0.6, 4.0)
    """
    return level if level > 1.0 else count_kept(size.width, level) / size.width


def _interval(name: str, differences: Array) -> dict[str, float]:
    found = median_interval(differences)
    return {name: found.median, f"{name}_low": found.low, f"{name}_high": found.high}


def by_level(grid: Grid, sizes: Sizes) -> Table:
    """Return the medians of what is measured, with intervals, at every level; the whole at 1.

    The level of pruning what serves no input is the median share that is left.
    """
    rows: list[dict[str, Any]] = []
    for method, levels in methods_of(text for _, text in grid.cells).items():
        bits = max(levels) > 1.0
        for size in sorted(sizes):
            for label in grid.labels:
                for level, text in {(BITS if bits else 1.0): NONE, **levels}.items():
                    if np.isfinite(level):
                        at = left_at(level, sizes[size])
                    else:
                        left = grid.values((size, text), label, "neurons_left")
                        at = median_interval(left / sizes[size].width).median
                    for quantity in QUANTITIES:
                        name, width = quantity.measurement, sizes[size].width
                        found = values_of(grid, (size, text), label, name, width)
                        row = {"measurement": name, "method": method, "level": at}
                        row |= {"n_samples": size, "losses": label}
                        rows.append(row | median_columns(found))
    return as_table(rows)
