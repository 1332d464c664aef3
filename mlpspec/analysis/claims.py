"""The claims: what each demands, and of what evidence.

A claim is a list of demands, one or more per size of the data set; a demand says that one
quantity lies below another, seed by seed. `mlpspec.analysis.judging` judges them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from mlpspec.analysis.comparisons import Grid, aligned, twins
from mlpspec.arrays import Array
from mlpspec.losses import BUILT_IN
from mlpspec.metrics.statistics import average
from mlpspec.study.subsets import subsets

ERROR_MARGIN = 0.1
"""Of the mean spacing: a difference of errors that matters."""

SHARE_MARGIN = 0.05
"""A difference of shares that matters."""

COLLAPSED = 0.1
"""Spread of prototypes over that of inputs below which they have collapsed."""

WELL_FITTED = 0.01
"""Share of the targets' variance that a well-fitted network leaves."""

FIT_TOLERANCE = 0.005
"""Difference of that share within which two networks fit equally well."""

EIGHT = ["+".join(losses) or "baseline" for losses in subsets(BUILT_IN)]
"""Labels of the subsets that the claims are about."""


def margin_of(measurement: str, spacing: float) -> float:
    """Return what a difference of a measurement must exceed to matter, given the mean spacing.

    Examples
    --------
    >>> margin_of("nearest_error", 2.0), margin_of("usage_ratio", 2.0)
    (0.2, 0.05)
    """
    errors = ("reconstruction_error", "nearest_error")
    return ERROR_MARGIN * spacing if measurement in errors else SHARE_MARGIN


@dataclass(frozen=True, eq=False)
class Demand:
    """``smaller`` (S,) lies below ``larger`` (S,), seed by seed, at one size.

    ``margin`` is what the difference must exceed to matter; ``strict`` is no where equality
    meets the demand as stated; ``chosen_of`` is among how many the ``smaller`` one was chosen by
    these same values, which a test must allow for (Bonferroni). Calibrated, ``may_miss`` is the
    share of seeds that need not meet it: those that do not are then counted (binomial test).
    """

    size: int
    what: str
    smaller: Array
    larger: Array
    margin: float = 0.0
    strict: bool = True
    chosen_of: int = 1
    may_miss: float = 0.0


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the claims are judged on.

    Attributes
    ----------
    grid : Grid, optional
        The eight subsets; one value of every field but losses, n_samples and seed.
    spacing : dict of int to float
        Mean spacing of the inputs by size, of which margins are a share; as stated there are none.
    sweep : Grid, optional
        Coverage alone and separation alone over temperatures, cells (n_samples, temperature).
    references : dict of (str, int) to ((S,), (S,))
        What measurements are compared with that is no run's, by name and size: the values, and the
        seeds that they are of. ``grid`` and ``other`` are reconstruction errors, of the grid null
        and of coverage's prototypes on other seeds' data; ``random`` is the distinct usage ratio of
        random prototypes, ``critical`` 2 lambda_max(Cov x) of the sweep's data.
    """

    grid: Grid | None = None
    spacing: dict[int, float] = field(default_factory=dict)
    sweep: Grid | None = None
    references: dict[tuple[str, int], tuple[Array, Array]] = field(default_factory=dict)

    @property
    def runs(self) -> Grid:
        """The grid, for claims that are judged only where there is one."""
        assert self.grid is not None
        return self.grid

    def margin(self, name: str, size: int) -> float:
        """Return the `margin_of` a measurement at one size."""
        return margin_of(name, self.spacing.get(size, np.nan))

    def reference(self, name: str, size: int, runs: Grid) -> Array:
        """Return one of the references for the seeds of runs (S,), NaN where it is not known."""
        unknown = np.array([]), np.array([])
        return aligned(*self.references.get((name, size), unknown), runs.seeds)

    def complete(self) -> bool:
        """Return whether the grid has all eight subsets at every size."""
        grid = self.grid
        if grid is None or not {*EIGHT} <= {*grid.labels}:
            return False
        groups = itertools.product(grid.cells, grid.labels)
        errors = (grid.values(cell, label, "reconstruction_error") for cell, label in groups)
        return not any(np.isnan(values).all() for values in errors)


def _below(
    e: Evidence, name: str, pairs: Iterable[tuple[str, str, str]], *, strict: bool = True
) -> list[Demand]:
    """Demand, at every size, that one subset lies below another, of triples (what, one, other)."""
    return [
        Demand(
            size,
            what,
            e.runs.values((size,), lower, name),
            e.runs.values((size,), upper, name),
            e.margin(name, size),
            strict,
        )
        for (size,) in e.runs.cells
        for what, lower, upper in pairs
    ]


def _with_overlap(e: Evidence) -> list[tuple[str, str, str]]:
    return [(label, twin, label) for label, twin in twins(e.runs.labels, "overlap")]


def _but_coverage(e: Evidence) -> list[tuple[str, str, str]]:
    return [(label, "coverage", label) for label in e.runs.labels if label != "coverage"]


def c1(e: Evidence, calibrated: bool) -> list[Demand]:
    """Coverage alone has a lower reconstruction error than each of the seven other subsets.

    Calibrated, also than the grid that knows no data, and lower on its own data than on others'.
    """
    name = "reconstruction_error"
    demands = _below(e, name, _but_coverage(e))
    for (size,) in e.runs.cells if calibrated else ():
        covered = e.runs.values((size,), "coverage", name)
        for what, null in (("the ignorant grid", "grid"), ("other seeds' data", "other")):
            found = e.reference(null, size, e.runs)
            demands.append(Demand(size, what, covered, found, e.margin(name, size)))
    return demands


def c1b(e: Evidence, calibrated: bool) -> list[Demand]:
    """Some subset with coverage has a lower reconstruction error than every subset without it.

    That subset is, at each size, the one with the lowest mean.
    """
    name, labels = "reconstruction_error", e.runs.labels
    demands = []
    for (size,) in e.runs.cells:
        values = {label: e.runs.values((size,), label, name) for label in labels}
        active = [label for label in labels if "coverage" in label.split("+")]
        means = average(np.stack([values[label] for label in active], axis=1))
        best = active[int(np.nan_to_num(means, nan=np.inf).argmin())]
        margin = e.margin(name, size)
        demands += [
            Demand(size, label, values[best], values[label], margin, chosen_of=len(active))
            for label in labels
            if label not in active
        ]
    return demands


def c2(e: Evidence, calibrated: bool) -> list[Demand]:
    """Coverage alone has a higher usage ratio than the baseline.

    Calibrated, on the ratio after merging, and also above random prototypes.
    """
    name = "distinct_usage_ratio" if calibrated else "usage_ratio"
    demands = _below(e, name, [("baseline", "baseline", "coverage")])
    for (size,) in e.runs.cells if calibrated else ():
        covered = e.runs.values((size,), "coverage", name)
        chance = e.reference("random", size, e.runs)
        demands.append(Demand(size, "random prototypes", chance, covered, SHARE_MARGIN))
    return demands


def c3(e: Evidence, calibrated: bool) -> list[Demand]:
    """Separation alone lowers the reconstruction error at some sizes and raises it at others.

    The demands say "lowers"; the claim holds if some are met and some are reversed.
    """
    return _below(e, "reconstruction_error", [("baseline", "separation", "baseline")])


def c4(e: Evidence, calibrated: bool) -> list[Demand]:
    """Every overlap-active subset has a higher reconstruction error than its twin without it."""
    return _below(e, "reconstruction_error", _with_overlap(e))


def c5(e: Evidence, calibrated: bool) -> list[Demand]:
    """Overlap-active runs fit as well: at most 1 % unexplained, within 0.5 points of the twin.

    Calibrated, the 1 % is for the 95th percentile, and the 0.5 points hold in both directions.
    """
    demands = []
    for cell in e.runs.cells:
        for label, twin in twins(e.runs.labels, "overlap"):
            active = e.runs.values(cell, label, "fit_fvu")
            passive = e.runs.values(cell, twin, "fit_fvu")
            limit = np.full_like(active, WELL_FITTED)
            demands.append(
                Demand(cell[0], f"{label}, 1 %", active, limit, strict=False, may_miss=0.05)
            )
            close = passive + FIT_TOLERANCE
            demands.append(Demand(cell[0], f"{label}, as its twin", active, close, strict=False))
            if calibrated:
                close = active + FIT_TOLERANCE
                demands.append(Demand(cell[0], f"{label}, its twin as it", passive, close))
    return demands


def c6(e: Evidence, calibrated: bool) -> list[Demand]:
    """Overlap raises the share of prototypes outside the hull, against the twins without it.

    Calibrated, of expelled neurons. The twins with separation, which expels by itself, do not
    count.
    """
    name = "expelled_fraction" if calibrated else "outside_fraction"
    return _below(e, name, [pair for pair in _with_overlap(e) if "separation" not in pair[0]])


def c7(e: Evidence, calibrated: bool) -> list[Demand]:
    """Coverage alone has the smallest share of prototypes outside the hull, ties allowed.

    Calibrated, of expelled neurons, and among the subsets without separation.
    """
    rivals = _but_coverage(e)
    if not calibrated:
        return _below(e, "outside_fraction", rivals, strict=False)
    rivals = [pair for pair in rivals if "separation" not in pair[0]]
    return _below(e, "expelled_fraction", rivals, strict=False)


def c8(e: Evidence, calibrated: bool) -> list[Demand]:
    """Separation alone expels at the largest temperature, and at the nominal one does not.

    At the largest of the sweep, the outside fraction exceeds the baseline's by more than 0.05; at
    the nominal temperature, which is that of the grid, and at the smallest it does not.
    """
    assert e.sweep is not None
    name, demands = "outside_fraction", []
    for size, temperatures in _temperatures(e.sweep).items():
        if (size,) in e.runs.cells:
            plain, nominal = (
                aligned(e.runs.values((size,), label, name), e.runs.seeds, e.sweep.seeds)
                for label in ("baseline", "separation")
            )
            limit = plain + SHARE_MARGIN
            high = e.sweep.values((size, temperatures[-1]), "separation", name)
            demands.append(Demand(size, "nominal tau", nominal, limit))
            demands.append(Demand(size, f"tau = {temperatures[-1]:g}", limit, high))
            if len(temperatures) > 1:
                low = e.sweep.values((size, temperatures[0]), "separation", name)
                demands.append(Demand(size, f"tau = {temperatures[0]:g}", low, limit))
    return demands


def t1(e: Evidence, calibrated: bool) -> list[Demand]:
    """Coverage alone collapses above 2 lambda_max(Cov x) and not below.

    Collapsed means a spread of prototypes below 0.1 of the inputs'. Above are the temperatures
    over 1.5 times that of the seed's own inputs, where the largest spread counts; below those
    under 1/1.5 of it, where the smallest counts.
    """
    assert e.sweep is not None
    demands = []
    for size, temperatures in _temperatures(e.sweep).items():
        spread = np.stack(
            [e.sweep.values((size, tau), "coverage", "spread_ratio") for tau in temperatures]
        )
        ratio = np.array(temperatures)[:, None] / e.reference("critical", size, e.sweep)
        above = np.where(ratio > 1.5, spread, -np.inf).max(axis=0)
        below = np.where(ratio < 1 / 1.5, spread, np.inf).min(axis=0)
        limit = np.full_like(above, COLLAPSED)
        demands.append(Demand(size, "above", above, limit))
        demands.append(Demand(size, "below", limit, below))
    return demands


def _temperatures(sweep: Grid) -> dict[int, list[float]]:
    by_size: dict[int, list[float]] = {}
    for size, temperature in sweep.cells:
        by_size.setdefault(size, []).append(temperature)
    return by_size


@dataclass(frozen=True)
class Claim:
    """A claim: its name, its words, its demands and what judges it."""

    name: str
    text: str
    demands: Callable[[Evidence, bool], list[Demand]]
    on_sweep: str = ""
    """The loss whose sweep over temperatures the claim is about."""

    both_ways: bool = False


CLAIMS = (
    Claim("C1", "coverage has the lowest reconstruction error at every N", c1),
    Claim("C1b", "some subset with coverage has a lower error than all without it", c1b),
    Claim("C2", "coverage's usage ratio is above the baseline's at every N", c2),
    Claim(
        "C3",
        "separation is mixed: it lowers the error at some N, raises it at others",
        c3,
        both_ways=True,
    ),
    Claim("C4", "every overlap-active subset has a higher error than its twin", c4),
    Claim("C5", "that is no optimisation failure: overlap-active runs fit as well", c5),
    Claim("C6", "overlap pushes prototypes outside the hull", c6),
    Claim("C7", "coverage keeps prototypes inside best", c7),
    Claim("C8", "separation alone expels only at large tau", c8, on_sweep="separation"),
)

BOTH_WAYS = frozenset(claim.name for claim in CLAIMS if claim.both_ways)
"""Claims of which a mark says lower, not lower or higher, in place of what `FOUND` says."""

COLLAPSE = Claim(
    "T1", "without the fit, coverage collapses above 2 lambda_max(Cov x)", t1, on_sweep="coverage"
)
"""What theory says of coverage alone; while the fit is on, it is no statement about it."""


@dataclass(frozen=True)
class Verdict:
    """How a claim was judged; the columns of ``claims.csv``.

    ``demands``, ``met`` and ``contradicted`` count demands; ``met_at`` names the sizes at which
    all were met, of ``sizes``, and ``against_at`` those at which one was contradicted. ``effect``,
    ``low`` and ``high`` are the median paired difference (larger less smaller, above 0 is for the
    claim) of the least favourable demand with its exact interval, ``weakest`` says which that is.
    ``repeat`` is how often ten seeds give the same stated verdict that are drawn, with replacement,
    from those of a confirmation or, without one, from those that were judged.
    """

    claim: str
    text: str
    basis: str
    verdict: str
    demands: int = 0
    met: int = 0
    contradicted: int = 0
    sizes: str = ""
    met_at: str = ""
    against_at: str = ""
    weakest: str = ""
    effect: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan
    p_holm: float = np.nan
    repeat: float = np.nan
    reading: str = ""

    @property
    def found_at(self) -> dict[int, str]:
        """What was found at each N, ascending: ``met``, ``not met`` or ``contradicted``.

        Of C3, which goes both ways, these are lower, not lower and higher.

        Examples
        --------
        >>> Verdict("C1", "", "calibrated", "in part", sizes="3 5", met_at="5").found_at
        {3: 'not met', 5: 'met'}
        """
        return found_at(self.sizes, self.met_at, self.against_at)


FOUND = {"met": "\u25cf", "not met": "\u25cb", "contradicted": "\u2715"}
"""What may be found at an N, with the mark that stands for it: shapes, not colours alone."""


def found_at(sizes: str, met_at: str, against_at: str) -> dict[int, str]:
    """Return what was found at each N, from the columns of ``claims.csv``.

    Examples
    --------
    >>> found_at("3 5 10", "3", "10")
    {3: 'met', 5: 'not met', 10: 'contradicted'}
    """
    found = dict.fromkeys(map(int, sizes.split()), "not met")
    found |= dict.fromkeys(map(int, met_at.split()), "met")
    return found | dict.fromkeys(map(int, against_at.split()), "contradicted")
