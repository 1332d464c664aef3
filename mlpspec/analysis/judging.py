"""How the nine claims are judged, as stated and calibrated.

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
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from mlpspec.analysis.claims import CLAIMS, Claim, Demand, Evidence, Verdict
from mlpspec.arrays import Array
from mlpspec.metrics.statistics import ALPHA, holm, median_interval, sign_flip

REPEATS = 200
STUDY_SEEDS = 10


def judge_stated(
    evidence: Evidence, basis: str = "means", source: Evidence | None = None
) -> list[Verdict]:
    """Judge all claims as stated.

    Parameters
    ----------
    evidence : Evidence
    basis : {"means", "medians"}
    source : Evidence, optional
        Where ten seeds are drawn from, with replacement, to see how often the verdict repeats; by
        default the evidence itself.

    Returns
    -------
    list of Verdict
        One a claim, in the order of `CLAIMS`.

    Examples
    --------
    >>> {verdict.verdict for verdict in judge_stated(Evidence())}
    {'untested'}
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
    """Judge all claims with margins of substance, after few and after many steps.

    Parameters
    ----------
    stages : sequence of Evidence
        One for each number of steps, ascending; an empty one leaves the grid's claims untested.
    sweep : Evidence
        For the claims about temperatures.

    Returns
    -------
    list of Verdict
        One a claim, in the order of `CLAIMS`.

    Examples
    --------
    >>> {verdict.verdict for verdict in judge_calibrated([], Evidence())}
    {'untested'}
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
    average = np.nanmean if basis == "means" else np.nanmedian
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seeds drawn anew may all lack a run: no gap, not met
        gaps = average(stack.larger, axis=0) - average(stack.smaller, axis=0)
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
