"""What survives compression, and down to which level: is a specialised network smaller?

Each quantity of a compressed network is compared with that of the same network whole. It survives
if it is worse by no more than the margin of the claims: 0.05 for shares, a tenth of the mean
spacing for errors. The *smallest level* of a run is the share of its neurons (or the bits of its
numbers) down to which a quantity survives at every level that was tried; the whole network always
survives. A network is smaller than another if its smallest level is lower.

All quantities are over the N inputs, since those over the neurons that are left flatter the few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlpspec.analysis.claims import ERROR_MARGIN, SHARE_MARGIN
from mlpspec.analysis.comparisons import Grid, as_table, median_columns
from mlpspec.arrays import Array
from mlpspec.compress import COMPRESSIONS, NONE, count_kept
from mlpspec.data.spec import Call, arguments, numbers_of
from mlpspec.metrics.statistics import defined, holm, less, median_interval, sign_flip
from mlpspec.store.results import Table

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
    """What may survive: a measurement, and from which difference on it does not."""

    name: str
    measurement: str
    sign: int
    """1 where more is worse, -1 where less is."""

    margin: Callable[[float], float]
    """From the mean spacing of the inputs."""


QUANTITIES = (
    Quantity("fit", "fit_fvu", 1, lambda spacing: SHARE_MARGIN),
    Quantity("hits", "hit_rate", -1, lambda spacing: SHARE_MARGIN),
    Quantity("nearness", "nearest_error", 1, lambda spacing: ERROR_MARGIN * spacing),
    Quantity("usage", USED, -1, lambda spacing: SHARE_MARGIN),
)

NULLS = {
    "prune_height": "prune_random",
    "prune_fit": "prune_random",
    "prune_fit(refit=1)": "prune_random(refit=1)",
    "distil": "narrow",
}
"""What each method is compared with: what a level costs when nothing was chosen or taught."""

BITS = 64.0
"""Of a number that is not quantised."""


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


def smallest(levels: Array, survives: NDArray[np.bool_], whole: float) -> Array:
    """Return the smallest level (S,) down to which something survives at all levels.

    Parameters
    ----------
    levels : (L,)
        Descending.
    survives : (L, S)
    whole : float
        The level of networks that are whole.

    Examples
    --------
    >>> survives = np.array([[True, False, True], [True, True, False]])
    >>> smallest(np.array([0.5, 0.2]), survives, 1.0)
    array([0.2, 1. , 0.5])
    """
    count = np.logical_and.accumulate(survives, axis=0).sum(axis=0)
    return np.asarray(np.concatenate([[whole], levels])[count])


def smallest_levels(grid: Grid, sizes: Sizes) -> Table:
    """Return ``compression.csv``: the smallest levels of every quantity, method, N and subset.

    ``level`` is the median over seeds with its exact interval (``low``, ``high``). Differences are
    paired over seeds, medians with exact intervals: from the baseline (``difference`` ..., with the
    p-value of the sign-flip test, plain and after Holm over the subsets and N of a quantity and
    method), and, where the method has a null, from that (``over_null`` ...).
    """
    methods = methods_of(text for _, text in grid.cells)
    rows: list[dict[str, Any]] = []
    for quantity in QUANTITIES:
        by_method = {
            (method, size, label): _of_runs(grid, quantity, levels, size, label, sizes[size])
            for method, levels in methods.items()
            for size in sorted(sizes)
            for label in grid.labels
            if np.isfinite([*levels]).all()
        }
        for (method, size, label), found in by_method.items():
            medians = median_columns(found)
            level = medians.pop("value")
            unknown = np.full_like(found, np.nan)
            of_null = by_method.get((NULLS.get(method, ""), size, label), unknown)
            # Rounded: of equal differences of levels none is larger by its rounding error.
            gap = less(found, by_method.get((method, size, "baseline"), unknown)).round(9)
            rows.append(
                {
                    "quantity": quantity.name,
                    "method": method,
                    "n_samples": size,
                    "losses": label,
                    "level": level,
                    **medians,
                    **_interval("difference", gap),
                    "p": sign_flip(gap[:, None])[0] if label != "baseline" else np.nan,
                    **_interval("over_null", less(found, of_null).round(9)),
                }
            )
    families: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        row["p_holm"] = np.nan
        if row["losses"] != "baseline":
            families.setdefault((row["quantity"], row["method"]), []).append(row)
    for members in families.values():
        for row, p in zip(members, holm(np.array([row["p"] for row in members])), strict=True):
            row["p_holm"] = p
    return as_table(rows)


def _of_runs(
    grid: Grid, quantity: Quantity, levels: dict[float, str], n_samples: int, label: str, size: Size
) -> Array:
    """Return the smallest levels by seed (S,); NaN where the whole network is missing."""

    def values(text: str) -> Array:
        return values_of(grid, (n_samples, text), label, quantity.measurement, size.width)

    whole = values(NONE)
    worse = [quantity.sign * (values(text) - whole) for text in levels.values()]
    # At most the margin, up to rounding; what is undefined does not survive.
    survives = np.array(worse) <= quantity.margin(size.spacing) + 1e-12
    at = np.array([share_of(level, size) for level in levels])
    found = smallest(at, survives, BITS if max(levels) > 1.0 else 1.0)
    return np.where(np.isfinite(whole), found, np.nan)


def share_of(level: float, size: Size) -> float:
    """Return which share of the neurons of a whole network a level leaves; bits as they are.

    Examples
    --------
    >>> share_of(0.5, Size(0.4, 5)), share_of(4.0, Size(0.4, 5))
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
                        at = share_of(level, sizes[size])
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
