"""Tables of runs arranged for paired comparisons, and the comparisons themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlpspec.arrays import Array
from mlpspec.losses import BUILT_IN
from mlpspec.metrics import statistics as stats
from mlpspec.store.tables import Table, measurement_names, varying
from mlpspec.study.subsets import canonical_losses

Cell = tuple[Any, ...]
"""Values of the fields that vary, but for losses and seed: ``n_samples`` first."""


class Grid:
    """A table of runs as arrays over seeds, by cell and subset.

    Parameters
    ----------
    table : Table
        As `Results.table` or ``runs.csv`` gives it.
    fields : tuple of str, optional
        What a cell is made of, if it is not to follow from what varies.

    Attributes
    ----------
    fields : tuple of str
        What a cell is made of: ``n_samples``, ``variant`` if there are several, in place of the
        settings that follow from it, and any other field that varies (``n_hidden`` where it does
        at one N).
    cells : list of Cell, ascending
    labels : list of str
        Subsets in the table's order.
    seeds : (S,)
    names : list of str
        Measurements.

    Examples
    --------
    >>> run = {"key": "", "losses": "overlap", "n_samples": 5, "n_hidden": 5, "status": "ok"}
    >>> grid = Grid(as_table([{**run, "seed": seed, "usage_ratio": seed / 10} for seed in (3, 4)]))
    >>> grid.cells, grid.values((5,), "overlap", "usage_ratio")
    ([(5,)], array([0.3, 0.4]))
    """

    def __init__(self, table: Table, fields: tuple[str, ...] | None = None) -> None:
        self.fields = fields or cell_fields(table)
        self.labels: list[str] = list(dict.fromkeys(table["losses"].tolist()))
        self.seeds = np.unique(table["seed"])
        self.names = [name for name in measurement_names(table) if name != "seconds"]
        cells = list(zip(*(table[name].tolist() for name in self.fields), strict=True))
        self.cells: list[Cell] = sorted(set(cells))
        self._matrix: dict[tuple[Cell, str], Array] = {}
        values = np.reshape([stats.defined(table[name]) for name in self.names], (-1, len(cells))).T
        column = np.searchsorted(self.seeds, table["seed"])
        good = table["status"] == "ok"
        for row, group in enumerate(zip(cells, table["losses"].tolist(), strict=True)):
            if group not in self._matrix:
                self._matrix[group] = np.full((len(self.seeds), len(self.names)), np.nan)
            if good[row]:
                self._matrix[group][column[row]] = values[row]

    def matrix(self, cell: Cell, label: str) -> Array:
        """Return all measurements (S, M) of a subset.

        NaN where there is no run that ended ok, and where one is undefined.
        """
        missing = np.full((len(self.seeds), len(self.names)), np.nan)
        return self._matrix.get((cell, label), missing)

    def values(self, cell: Cell, label: str, name: str) -> Array:
        """Return one measurement (S,) of a subset."""
        return self.matrix(cell, label)[:, self.names.index(name)]


def aligned(values: Array, seeds: Array, wanted: Array) -> Array:
    """Return values (S,) of some seeds for others, NaN for those that are not among them.

    Examples
    --------
    >>> aligned(np.array([0.1, 0.2]), np.array([4, 5]), np.array([5, 6]))
    array([0.2, nan])
    """
    by_seed = dict(zip(seeds.tolist(), values.tolist(), strict=True))
    return np.array([by_seed.get(seed, np.nan) for seed in wanted.tolist()])


def cell_fields(table: Table) -> tuple[str, ...]:
    """Return what the cells of a table of runs are made of; see `Grid`.

    Examples
    --------
    >>> table = {"n_samples": [5, 5], "variant": ["a", "b"], "steps": [10, 20]}
    >>> cell_fields({name: np.array(column) for name, column in table.items()})
    ('n_samples', 'variant')
    """
    variant = ["variant"] if len(np.unique(table.get("variant", ()))) > 1 else []
    return ("n_samples", *variant, *varying(table, variant))


class Pair(NamedTuple):
    """A treatment, what it is compared with, and the family of the comparison."""

    treatment: str
    control: str
    family: str


def pairs(labels: list[str]) -> list[Pair]:
    """Return the comparisons of a study with these subsets.

    ``baseline``: every subset against the baseline; ``twin``: each overlap-active subset against
    the same one without overlap; ``coverage``: coverage against each other subset; ``with NAME``,
    for each loss that is not built in: every subset with it against the same one without, unless
    that is the baseline in all of them, which is in the first family already.

    Examples
    --------
    >>> [tuple(pair) for pair in pairs(["baseline", "mine"])]
    [('mine', 'baseline', 'baseline')]
    >>> [tuple(pair) for pair in pairs(["baseline", "overlap"])]
    [('overlap', 'baseline', 'baseline'), ('overlap', 'baseline', 'twin')]
    """
    chosen = [Pair(label, "baseline", "baseline") for label in labels if label != "baseline"]
    chosen += [Pair(label, twin, "twin") for label, twin in twins(labels, "overlap")]
    chosen += [Pair("coverage", label, "coverage") for label in labels if label != "coverage"]
    for name in dict.fromkeys(name for label in labels for name in canonical_losses(label)):
        found = twins(labels, name)
        if name not in BUILT_IN and {twin for _, twin in found} != {"baseline"}:
            chosen += [Pair(label, twin, f"with {name}") for label, twin in found]
    return [pair for pair in chosen if {pair.treatment, pair.control} <= set(labels)]


def twins(labels: list[str], name: str) -> list[tuple[str, str]]:
    """Return the subsets with the loss ``name``, each with the same subset without it.

    Examples
    --------
    >>> twins(["baseline", "overlap", "coverage+overlap"], "overlap")
    [('overlap', 'baseline')]
    """
    found = []
    for label in labels:
        others = [other for other in label.split("+") if other != name]
        twin = "+".join(others) or "baseline"
        if twin in labels and twin != label:
            found.append((label, twin))
    return found


def compare(grid: Grid, compared: Sequence[Pair] | None = None) -> list[dict[str, Any]]:
    """Return the rows of ``comparisons.csv``: paired over seeds, per cell and measurement.

    ``median_difference`` is treatment less control, with its exact interval; ``p`` that of the
    two-sided sign-flip test, ``p_holm`` over the comparisons of one family and measurement;
    ``wins`` the share of seeds in which the treatment is lower, ties counting half. ``can_reach``
    is no where even differences of one sign would not be significant in that family.

    Examples
    --------
    >>> run = {"key": "", "n_samples": 5, "n_hidden": 5, "seed": 0, "status": "ok"}
    >>> runs = [("baseline", 0.5), ("overlap", 0.75)]
    >>> grid = Grid(as_table([{**run, "losses": name, "error": error} for name, error in runs]))
    >>> compare(grid)[0]["median_difference"]
    0.25
    """
    rows: list[dict[str, Any]] = []
    for cell in grid.cells:
        for pair in pairs(grid.labels) if compared is None else compared:
            d = stats.less(grid.matrix(cell, pair.treatment), grid.matrix(cell, pair.control))
            p = stats.sign_flip(d)
            nonzero = (np.isfinite(d) & (d != 0.0)).sum(axis=0)
            least = stats.least_p(nonzero)
            for m, name in enumerate(grid.names):
                interval = stats.median_interval(d[:, m])
                rows.append(
                    {
                        "family": pair.family,
                        "treatment": pair.treatment,
                        "control": pair.control,
                        **dict(zip(grid.fields, cell, strict=True)),
                        "measurement": name,
                        "pairs": int(np.isfinite(d[:, m]).sum()),
                        "nonzero": int(nonzero[m]),
                        "median_difference": interval.median,
                        "low": interval.low,
                        "high": interval.high,
                        "confidence": interval.confidence,
                        "wins": stats.win_share(d[:, m]),
                        "p": p[m],
                        "least_p": least[m],
                    }
                )
    for members in add_holm(rows, "family", "measurement"):
        for row in members:
            row["can_reach"] = "yes" if row.pop("least_p") * len(members) < stats.ALPHA else "no"
    return rows


def add_holm(rows: Sequence[dict[str, Any]], *names: str) -> list[list[dict[str, Any]]]:
    """Add ``p_holm`` to rows, from their ``p``; return the families, which have equal ``names``.

    Examples
    --------
    >>> rows = [{"p": 0.01, "N": 3}, {"p": 0.02, "N": 3}, {"p": 0.03, "N": 5}]
    >>> [len(members) for members in add_holm(rows, "N")], [row["p_holm"] for row in rows]
    ([2, 1], [0.02, 0.02, 0.03])
    """
    families: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault(tuple(row[name] for name in names), []).append(row)
    for members in families.values():
        adjusted = stats.holm(np.array([row["p"] for row in members])).tolist()
        for row, p in zip(members, adjusted, strict=True):
            row["p_holm"] = p
    return list(families.values())


def as_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return rows with equal keys as columns; one with arrays among its values stands for several.

    Examples
    --------
    >>> as_table([{"a": 1, "b": "x"}, {"a": [2, 3], "b": "y"}])
    {'a': array([1, 2, 3]), 'b': array(['x', 'y', 'y'], dtype='<U1')}
    """
    names = list(rows[0]) if rows else []
    parts = [np.broadcast_arrays(*(np.atleast_1d(row[name]) for name in names)) for row in rows]
    return {name: np.concatenate(column) for name, *column in zip(names, *parts, strict=True)}


def select(table: Table, rows: Array) -> Table:
    """Return some rows of a table: where a mask (n,) is true, or at indices.

    Examples
    --------
    >>> select({"a": np.array([1, 2, 3])}, np.array([True, False, True]))
    {'a': array([1, 3])}
    """
    return {name: values[rows] for name, values in table.items()}


def where(table: Table, **values: Any) -> Table:
    """Return the rows of a table in which columns have given values, or one of several.

    Examples
    --------
    >>> where({"a": np.array([1, 2, 1]), "b": np.array([4, 5, 6])}, a=1, b=[5, 6])
    {'a': array([1]), 'b': array([6])}
    """
    equal = [np.isin(table[name], value) for name, value in values.items()]
    return select(table, np.logical_and.reduce(equal))


def by_steps(table: Table) -> dict[int, Grid]:
    """Return the grids of the runs that were trained for each number of steps, ascending.

    Examples
    --------
    >>> run = {"key": "", "losses": "overlap", "n_samples": 5, "n_hidden": 5, "status": "ok"}
    >>> runs = [{**run, "seed": 0, "steps": steps, "error": 0.5} for steps in (30, 10)]
    >>> [(steps, grid.cells) for steps, grid in by_steps(as_table(runs)).items()]
    [(10, [(5,)]), (30, [(5,)])]
    """
    steps = np.unique(table["steps"]).tolist()
    return {number: Grid(where(table, steps=number)) for number in steps}


def median_columns(values: Array) -> dict[str, Any]:
    """Return the median of ``values`` (S,) with its exact interval, and how many are known.

    Examples
    --------
    >>> median_columns(np.array([1.0, 2.0, 3.0, np.nan]))
    {'value': 2.0, 'low': 1.0, 'high': 3.0, 'confidence': 0.75, 'seeds': 3}
    """
    interval = stats.median_interval(values)._asdict()
    known = int(np.isfinite(values).sum())
    return {"value": interval.pop("median"), **interval, "seeds": known}
