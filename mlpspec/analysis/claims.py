"""The nine claims, each judged as stated and calibrated.

A claim is a list of demands, one or more per size of the data set; a demand says that one
quantity lies below another, seed by seed.

**As stated**: on the means (and, apart, the medians) of the study's own runs. A claim ``holds``
where every demand is met; it ``fails`` where some demand is contradicted significantly
(two-sided sign-flip test, Holm over the claim's demands) or where demands are unmet at most
sizes; else it is ``mixed``, and ``untested`` where runs are missing.

**Calibrated**: on fresh seeds, with a margin of substance (0.1 of the mean spacing for errors,
0.05 for shares). A demand is met if the paired differences lie beyond the margin (one-sided
sign-flip test), contradicted if they lie on the wrong side of zero, or if their interval falls
short of the margin. A claim ``holds`` if every demand is met at p < 0.05 (an intersection-union
test: its p is the largest), after Holm over the claims; it ``fails`` if one is contradicted, and
is ``undetermined`` otherwise; it is ``transient`` if it holds after the fewest steps and no
longer after the most.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from mlpspec.analysis.comparisons import Grid, twins
from mlpspec.arrays import Array
from mlpspec.metrics.statistics import ALPHA, holm, median_interval, sign_flip

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

GRID_SUBSETS = 8
REPEATS = 200
STUDY_SEEDS = 10


@dataclass(frozen=True, eq=False)
class Demand:
    """``smaller`` (S,) lies below ``larger`` (S,), seed by seed, at one size.

    ``margin`` is what the difference must exceed to matter; ``strict`` is no where equality
    meets the demand as stated; ``aside`` marks what is reported and does not count.
    """

    size: int
    what: str
    smaller: Array
    larger: Array
    margin: float = 0.0
    strict: bool = True
    aside: bool = False


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the claims are judged on.

    Attributes
    ----------
    grid : Grid, optional
        The eight subsets; one value of every field but losses, n_samples and seed.
    spacing : dict of int to float
        Mean spacing of the inputs by size.
    sweep : Grid, optional
        Coverage alone and separation alone over temperatures, cells (n_samples, temperature).
    critical : dict of int to (S,)
        2 lambda_max(Cov x) of the sweep's data, by size, in the order of its seeds.
    baseline : Grid, optional
        Where the sweep's baseline of the same seeds is found.
    grid_error, other_error, random_usage : dict of (int, str) or int to (S,), optional
        Reconstruction error of the grid null by size, and of each run's prototypes on other
        seeds' data by size and subset; distinct usage ratio of random prototypes by size.
    """

    grid: Grid | None = None
    spacing: dict[int, float] = field(default_factory=dict)
    sweep: Grid | None = None
    critical: dict[int, Array] = field(default_factory=dict)
    baseline: Grid | None = None
    grid_error: dict[int, Array] = field(default_factory=dict)
    other_error: dict[tuple[int, str], Array] = field(default_factory=dict)
    random_usage: dict[int, Array] = field(default_factory=dict)

    def complete(self) -> bool:
        """Return whether the grid has all eight subsets at every size."""
        grid = self.grid
        return (
            grid is not None
            and len(grid.labels) >= GRID_SUBSETS
            and not any(
                np.isnan(grid.values(cell, label, "reconstruction_error")).all()
                for cell in grid.cells
                for label in grid.labels
            )
        )


def _rivals(grid: Grid) -> list[str]:
    return [label for label in grid.labels if label != "coverage"]


def c1(e: Evidence, calibrated: bool) -> list[Demand]:
    """Coverage alone has a lower reconstruction error than each of the seven other subsets.

    Calibrated, also than the grid that knows no data, and lower on its own data than on others'.
    """
    assert e.grid is not None
    demands = []
    for cell in e.grid.cells:
        size, margin = cell[0], ERROR_MARGIN * e.spacing[cell[0]]
        own = e.grid.values(cell, "coverage", "reconstruction_error")
        for rival in _rivals(e.grid):
            other = e.grid.values(cell, rival, "reconstruction_error")
            demands.append(Demand(size, rival, own, other, margin))
        if calibrated:
            demands.append(Demand(size, "the ignorant grid", own, e.grid_error[size], margin))
            elsewhere = e.other_error[size, "coverage"]
            demands.append(Demand(size, "other seeds' data", own, elsewhere, margin))
    return demands


def c2(e: Evidence, calibrated: bool) -> list[Demand]:
    """Coverage alone has a higher usage ratio than the baseline.

    Calibrated, on the ratio after merging, and also above random prototypes.
    """
    assert e.grid is not None
    name = "distinct_usage_ratio" if calibrated else "usage_ratio"
    demands = []
    for cell in e.grid.cells:
        size = cell[0]
        covered = e.grid.values(cell, "coverage", name)
        baseline = e.grid.values(cell, "baseline", name)
        demands.append(Demand(size, "baseline", baseline, covered, SHARE_MARGIN))
        if calibrated:
            chance = e.random_usage[size]
            demands.append(Demand(size, "random prototypes", chance, covered, SHARE_MARGIN))
    return demands


def c3(e: Evidence, calibrated: bool) -> list[Demand]:
    """Separation alone lowers the reconstruction error at some sizes and raises it at others.

    The demands say "lowers"; the claim holds if some are met and some are reversed.
    """
    assert e.grid is not None
    return [
        Demand(
            cell[0],
            "baseline",
            e.grid.values(cell, "separation", "reconstruction_error"),
            e.grid.values(cell, "baseline", "reconstruction_error"),
            ERROR_MARGIN * e.spacing[cell[0]],
        )
        for cell in e.grid.cells
    ]


def _against_twins(
    e: Evidence, name: str, margin: Callable[[int], float], *, aside: bool = False
) -> list[Demand]:
    assert e.grid is not None
    return [
        Demand(
            cell[0],
            label,
            e.grid.values(cell, twin, name),
            e.grid.values(cell, label, name),
            margin(cell[0]),
            aside=aside and "separation" in label,
        )
        for cell in e.grid.cells
        for label, twin in twins(e.grid.labels, "overlap")
    ]


def c4(e: Evidence, calibrated: bool) -> list[Demand]:
    """Every overlap-active subset has a higher reconstruction error than its twin without it."""
    return _against_twins(e, "reconstruction_error", lambda size: ERROR_MARGIN * e.spacing[size])


def c5(e: Evidence, calibrated: bool) -> list[Demand]:
    """Overlap-active runs fit as well: at most 1 % unexplained, within 0.5 points of the twin.

    Calibrated, the 1 % is for the 95th percentile (binomial test), and the 0.5 points hold in
    both directions.
    """
    assert e.grid is not None
    demands = []
    for cell in e.grid.cells:
        for label, twin in twins(e.grid.labels, "overlap"):
            active = e.grid.values(cell, label, "fit_fvu")
            passive = e.grid.values(cell, twin, "fit_fvu")
            limit = np.full_like(active, WELL_FITTED)
            demands.append(Demand(cell[0], f"{label}, 1 %", active, limit, strict=False))
            close = passive + FIT_TOLERANCE
            demands.append(Demand(cell[0], f"{label}, as its twin", active, close, strict=False))
            if calibrated:
                close = active + FIT_TOLERANCE
                demands.append(Demand(cell[0], f"{label}, its twin as it", passive, close))
    return demands


def c6(e: Evidence, calibrated: bool) -> list[Demand]:
    """Overlap raises the share of prototypes outside the hull, against the twins without it.

    Calibrated, of expelled neurons. The twins with separation, which expels by itself, stand
    aside.
    """
    name = "expelled_fraction" if calibrated else "outside_fraction"
    return _against_twins(e, name, lambda _: SHARE_MARGIN, aside=True)


def c7(e: Evidence, calibrated: bool) -> list[Demand]:
    """Coverage alone has the smallest share of prototypes outside the hull, ties allowed.

    Calibrated, of expelled neurons, against the subsets without separation; those with it stand
    aside.
    """
    assert e.grid is not None
    name = "expelled_fraction" if calibrated else "outside_fraction"
    return [
        Demand(
            cell[0],
            rival,
            e.grid.values(cell, "coverage", name),
            e.grid.values(cell, rival, name),
            SHARE_MARGIN,
            strict=False,
            aside=calibrated and "separation" in rival,
        )
        for cell in e.grid.cells
        for rival in _rivals(e.grid)
    ]


def c8(e: Evidence, calibrated: bool) -> list[Demand]:
    """Separation alone expels at the largest temperature, and at the smallest does not.

    At the largest, the outside fraction exceeds the baseline's by more than 0.05; at the
    smallest it does not.
    """
    assert e.sweep is not None
    assert e.baseline is not None
    demands = []
    for size, temperatures in _temperatures(e.sweep).items():
        if (size,) not in e.baseline.cells:
            continue
        rows = np.searchsorted(e.baseline.seeds, e.sweep.seeds)
        rows = np.minimum(rows, len(e.baseline.seeds) - 1)
        plain = e.baseline.values((size,), "baseline", "outside_fraction")[rows]
        plain = np.where(e.baseline.seeds[rows] == e.sweep.seeds, plain, np.nan)
        low, high = (
            e.sweep.values((size, tau), "separation", "outside_fraction")
            for tau in (temperatures[0], temperatures[-1])
        )
        demands.append(Demand(size, f"tau = {temperatures[0]:g}", low, plain + SHARE_MARGIN))
        demands.append(Demand(size, f"tau = {temperatures[-1]:g}", plain + SHARE_MARGIN, high))
    return demands


def c9(e: Evidence, calibrated: bool) -> list[Demand]:
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
        ratio = np.array(temperatures)[:, None] / e.critical[size]
        above = np.where(ratio > 1.5, spread, -np.inf).max(axis=0)
        below = np.where(ratio < 1 / 1.5, spread, np.inf).min(axis=0)
        limit = np.full_like(above, COLLAPSED)
        demands.append(Demand(size, "above", above, limit))
        demands.append(Demand(size, "below", limit, below))
    return demands


def _temperatures(sweep: Grid) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for size, temperature in sweep.cells:
        found.setdefault(size, []).append(temperature)
    return found


@dataclass(frozen=True)
class Claim:
    """A claim: its name, its words, its demands and what judges it."""

    name: str
    text: str
    demands: Callable[[Evidence, bool], list[Demand]]
    on_sweep: bool = False
    both_ways: bool = False


CLAIMS = (
    Claim("C1", "coverage has the lowest reconstruction error at every N", c1),
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
    Claim("C8", "separation alone expels only at large tau", c8, on_sweep=True),
    Claim("C9", "coverage alone collapses above 2 lambda_max(Cov x)", c9, on_sweep=True),
)


@dataclass(frozen=True)
class Verdict:
    """How a claim was judged; the columns of ``claims.csv``.

    ``demands``, ``met`` and ``contradicted`` count demands; ``met_at`` names the sizes at which
    all were met, of ``sizes``. ``effect``, ``low`` and ``high`` are the median paired difference
    (larger less smaller, above 0 is for the claim) of the least favourable demand with its exact
    interval, ``weakest`` says which that is. ``repeat`` is the probability that ten fresh seeds
    would give the same stated verdict.
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
    weakest: str = ""
    effect: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan
    p_holm: float = np.nan
    repeat: float = np.nan
    reading: str = ""


def judge_stated(
    evidence: Evidence, basis: str = "means", source: Evidence | None = None
) -> list[Verdict]:
    """Judge all claims as stated, on ``"means"`` or ``"medians"``.

    ``source`` is where ten seeds are drawn from, with replacement, to see how often the verdict
    repeats; by default the evidence itself.
    """
    verdicts = []
    for claim in CLAIMS:
        demands = _demands(claim, evidence, False)
        if not demands:
            verdicts.append(_untested(claim, f"stated, {basis}"))
            continue
        verdict = _stated(claim, demands, basis)
        pool = demands
        if source is not None and not claim.on_sweep and source.complete():
            pool = claim.demands(source, False)
        verdicts.append(replace(verdict, repeat=_repeat(claim, verdict.verdict, pool, basis)))
    return verdicts


def _repeat(claim: Claim, verdict: str, demands: list[Demand], basis: str) -> float:
    """Return how often ten seeds drawn from those of the demands give ``verdict``."""
    stack = _Stack.of(demands)
    rng = np.random.Generator(np.random.PCG64(9))
    n_seeds = len(stack.smaller)
    same = 0
    for drawn in rng.integers(0, n_seeds, (REPEATS, min(STUDY_SEEDS, n_seeds))):
        sample = stack._replace(smaller=stack.smaller[drawn], larger=stack.larger[drawn])
        same += _outcome(claim, sample, basis)[0] == verdict
    return same / REPEATS


def judge_calibrated(stages: Sequence[Evidence], sweep: Evidence) -> list[Verdict]:
    """Judge all claims on evidence after few and after many steps (one entry each), and the sweep.

    An empty sequence leaves the grid's claims untested.
    """
    judged: list[list[Verdict]] = []
    for evidence in stages or [Evidence()]:
        row = []
        for claim in CLAIMS:
            demands = _demands(claim, sweep if claim.on_sweep else evidence, True)
            row.append(_calibrated(claim, demands) if demands else _untested(claim, "calibrated"))
        tested = [i for i, verdict in enumerate(row) if verdict.verdict != "untested"]
        adjusted = holm(np.array([row[i].p for i in tested]))
        for i, p in zip(tested, adjusted, strict=True):
            row[i] = replace(row[i], p_holm=float(p))
            if row[i].verdict == "holds" and p >= ALPHA:
                row[i] = replace(row[i], verdict="undetermined")
        judged.append(row)
    final = []
    for first, last in zip(judged[0], judged[-1], strict=True):
        if first.verdict == "holds" and last.verdict not in ("holds", "untested"):
            last = replace(
                last,
                verdict="transient",
                reading=f"holds after the fewest steps, not after the most: {last.reading}",
            )
        elif first.verdict != "holds" and last.verdict == "holds":
            last = replace(first, reading=f"{first.reading}; it holds after the most steps")
        final.append(last)
    return final


def _demands(claim: Claim, evidence: Evidence, calibrated: bool) -> list[Demand]:
    """Return what a claim demands; nothing if runs are missing that it is about.

    Every demand that counts needs a seed with both of its runs.
    """
    if claim.on_sweep:
        sweep = evidence.sweep
        if sweep is None or not {"coverage", "separation"} <= set(sweep.labels):
            return []
        if not evidence.critical or (claim.name == "C8" and evidence.baseline is None):
            return []
    elif not evidence.complete():
        return []
    demands = claim.demands(evidence, calibrated)
    paired = all(
        not np.isnan(demand.larger - demand.smaller).all() for demand in demands if not demand.aside
    )
    return demands if paired else []


def _untested(claim: Claim, basis: str) -> Verdict:
    mend = "mlpspec run tau-sweep --out DIR/tau-sweep" if claim.on_sweep else "mlpspec run"
    if basis == "calibrated" and not claim.on_sweep:
        mend = "mlpspec run confirm --out DIR/confirm"
    reading = f"runs are missing: {mend}, then mlpspec report DIR"
    return Verdict(claim.name, claim.text, basis, "untested", reading=reading)


class _Stack(NamedTuple):
    """The demands of a claim that count, as matrices over seeds (S, M)."""

    smaller: Array
    larger: Array
    strict: Array
    sizes: Array

    @classmethod
    def of(cls, demands: list[Demand]) -> _Stack:
        counted = [demand for demand in demands if not demand.aside]
        return cls(
            np.stack([demand.smaller for demand in counted], axis=1),
            np.stack([demand.larger for demand in counted], axis=1),
            np.array([demand.strict for demand in counted]),
            np.array([demand.size for demand in counted]),
        )


def _outcome(claim: Claim, stack: _Stack, basis: str) -> tuple[str, Array, Array]:
    """Return the stated verdict, and which demands are met and which significantly reversed."""
    centre = np.nanmean if basis == "means" else np.nanmedian
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seeds drawn anew may all lack a run: no gap, not met
        gaps = centre(stack.larger, axis=0) - centre(stack.smaller, axis=0)
    met = (gaps > 0) | ((gaps == 0) & ~stack.strict)
    with np.errstate(invalid="ignore"):
        p = holm(sign_flip(stack.smaller - stack.larger))
    against = ~met & (p < ALPHA)
    if claim.both_ways:
        return "holds" if met.any() and not met.all() else "fails", met, against
    unmet = len(np.unique(stack.sizes[~met]))
    if unmet == 0:
        return "holds", met, against
    if against.any() or unmet > len(np.unique(stack.sizes)) / 2:
        return "fails", met, against
    return "mixed", met, against


def _stated(claim: Claim, demands: list[Demand], basis: str) -> Verdict:
    demands = [demand for demand in demands if not demand.aside]
    outcome, met, against = _outcome(claim, _Stack.of(demands), basis)
    return _describe(claim, f"stated, {basis}", outcome, demands, met, against, np.nan)


def _calibrated(claim: Claim, demands: list[Demand]) -> Verdict:
    counted = [demand for demand in demands if not demand.aside]
    met_p, met, against = [], [], []
    for demand in counted:
        d = (demand.smaller - demand.larger)[:, None]
        interval = median_interval(-d[:, 0])
        if claim.name == "C5" and demand.what.endswith("1 %"):
            misses = int((d > 0).sum())
            p = float(binom.cdf(misses, int((~np.isnan(d)).sum()), 0.05))
            wrong = float(binom.sf(misses - 1, int((~np.isnan(d)).sum()), 0.05)) < ALPHA
        else:
            p = float(sign_flip(d + demand.margin, "less")[0])
            wrong = float(sign_flip(d, "greater")[0]) < ALPHA or (
                interval.high < demand.margin and interval.confidence >= 1.0 - ALPHA
            )
        met_p.append(p)
        met.append(p < ALPHA)
        against.append(wrong and p >= ALPHA)
    if claim.both_ways:
        return _calibrated_both_ways(claim, counted, met_p, met)
    outcome = "holds" if all(met) else "fails" if any(against) else "undetermined"
    return _describe(claim, "calibrated", outcome, counted, met, against, max(met_p))


def _calibrated_both_ways(
    claim: Claim, demands: list[Demand], down_p: list[float], down: list[bool]
) -> Verdict:
    up_p = [
        float(sign_flip((d.larger - d.smaller)[:, None] + d.margin, "less")[0]) for d in demands
    ]
    count = len(demands)
    p = min(1.0, max(min(down_p), min(up_p)) * count)
    up = [q < ALPHA for q in up_p]
    short = [median_interval(d.larger - d.smaller).high < d.margin for d in demands]
    if p < ALPHA:
        outcome = "holds"
    else:
        outcome = "fails" if all(up) or all(down) or all(short) else "undetermined"
    return _describe(claim, "calibrated", outcome, demands, down, up, p)


def _describe(
    claim: Claim,
    basis: str,
    outcome: str,
    demands: list[Demand],
    met: Sequence[bool] | Array,
    against: Sequence[bool] | Array,
    p: float,
) -> Verdict:
    sizes = sorted({demand.size for demand in demands})
    unmet = {d.size for d, m in zip(demands, met, strict=True) if not m}
    with np.errstate(invalid="ignore"):
        gaps = [median_interval(d.larger - d.smaller) for d in demands]
    scale = [np.nanstd(d.larger - d.smaller) or 1.0 for d in demands]
    worst = int(np.nanargmin([g.median / s for g, s in zip(gaps, scale, strict=True)]))
    weakest = f"N = {demands[worst].size}, {demands[worst].what}"
    good = [str(size) for size in sizes if size not in unmet]
    words = "reversed" if claim.both_ways else "contradicted"
    where = f"N = {', '.join(good)}" if good else "no N"
    reading = (
        f"{sum(met)} of {len(met)} demands met, {sum(against)} {words}; all met at {where}; "
        f"least favourable: {weakest}"
    )
    return Verdict(
        claim.name,
        claim.text,
        basis,
        outcome,
        len(demands),
        int(sum(met)),
        int(sum(against)),
        " ".join(map(str, sizes)),
        " ".join(good),
        weakest,
        gaps[worst].median,
        gaps[worst].low,
        gaps[worst].high,
        p,
        reading=reading,
    )
