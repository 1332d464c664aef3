"""How the nine claims are judged, as stated and calibrated.

**As stated**: on the means (and, apart, the medians) of the study's own runs. A claim ``holds``
where every demand is met; it ``fails`` where some demand is contradicted significantly
(two-sided sign-flip test, Holm over the claim's demands) or where demands are unmet at most
sizes; else it is ``mixed``, and ``untested`` where runs are missing.

**Calibrated**: on fresh seeds, with a margin of substance (0.1 of the mean spacing for errors,
0.05 for shares). The claims about temperatures (C8, C9) have no fresh seeds: they rest on those of
the sweep, which they are stated on, and their reading says so. A demand is met if the paired
differences lie beyond the margin (one-sided sign-flip test), contradicted if they lie on the wrong
side of zero, or if their interval falls short of the margin. A claim ``holds`` if every demand is
met at p < 0.05 (an intersection-union test: its p is the largest), after Holm over the claims; it
``fails`` if one is contradicted, and is ``undetermined`` otherwise; it is ``transient`` if it holds
after the fewest steps and no longer after the most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import binom

from mlpspec.analysis.claims import CLAIMS, COLLAPSE, Claim, Demand, Evidence, Verdict
from mlpspec.arrays import Array
from mlpspec.metrics.statistics import ALPHA, average, holm, less, median_interval, sign_flip

REPEATS = 200
STUDY_SEEDS = 10


def judge_stated(
    evidence: Evidence,
    basis: str = "means",
    source: Evidence | None = None,
    repeats: int = REPEATS,
    claims: Sequence[Claim] = CLAIMS,
) -> list[Verdict]:
    """Judge all claims as stated.

    Parameters
    ----------
    evidence : Evidence
    basis : {"means", "medians"}
    source : Evidence, optional
        Where ten seeds are drawn from, with replacement, to see how often the verdict repeats; by
        default the evidence itself.
    repeats : int
        How often they are drawn; 0: not at all.
    claims : sequence of Claim

    Returns
    -------
    list of Verdict
        One a claim, in their order.

    Examples
    --------
    >>> {verdict.verdict for verdict in judge_stated(Evidence())}
    {'untested'}
    """
    verdicts = []
    for claim in claims:
        demands = _demands(claim, evidence, False)
        untested = _untested(claim, f"stated, {basis}", demands)
        if untested is not None:
            verdicts.append(untested)
            continue
        outcome, met, against = _outcome(claim, demands, _values(demands), basis)
        verdict = _describe(claim, f"stated, {basis}", outcome, demands, met, against, np.nan)
        if source is not None and not claim.on_sweep and source.complete():
            fresh = claim.demands(source, False)
            demands = demands if _untested(claim, basis, fresh) else fresh
        repeat = _repeat(claim, outcome, demands, basis, repeats) if repeats else np.nan
        verdicts.append(replace(verdict, repeat=repeat))
    return verdicts


def _repeat(claim: Claim, verdict: str, demands: list[Demand], basis: str, repeats: int) -> float:
    """Return how often ten seeds drawn from those of the demands give ``verdict``."""
    values = _values(demands)
    n_seeds = values.shape[1]
    rng = np.random.Generator(np.random.PCG64(9))
    draws = rng.integers(0, n_seeds, (repeats, min(STUDY_SEEDS, n_seeds)))
    drawn = [_outcome(claim, demands, values[:, rows], basis)[0] for rows in draws]
    return drawn.count(verdict) / repeats


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
            untested = _untested(claim, "calibrated", demands)
            row.append(untested or _calibrated(claim, demands))
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
    """Return what a claim demands; nothing if runs are missing that it is about."""
    if claim.on_sweep:
        sweep = evidence.sweep
        if sweep is None or claim.on_sweep not in sweep.labels:
            return []
        if not (evidence.critical if claim is COLLAPSE else evidence.baseline):
            return []
    elif not evidence.complete():
        return []
    return claim.demands(evidence, calibrated)


def _untested(claim: Claim, basis: str, demands: list[Demand]) -> Verdict | None:
    """Return the verdict on a claim of which a demand has no seed with both values, if one has."""
    lacking = [d for d in demands if not np.isfinite(less(d.larger, d.smaller)).any()]
    if demands and not lacking:
        return None
    if lacking:
        place = f"N = {lacking[0].size}, {lacking[0].what}"
        reading = f"undefined, or without runs, in every seed at {place}"
        return Verdict(claim.name, claim.text, basis, "untested", reading=reading)
    mend = "mlpspec run tau-sweep --out DIR/tau-sweep" if claim.on_sweep else "mlpspec run"
    if basis == "calibrated" and not claim.on_sweep:
        mend = "mlpspec run confirm --out DIR/confirm"
    reading = f"runs are missing: {mend}, then mlpspec report DIR"
    return Verdict(claim.name, claim.text, basis, "untested", reading=reading)


def _values(demands: list[Demand]) -> Array:
    """Return the smaller and the larger values of M demands over S seeds, (2, S, M)."""
    smaller = np.stack([demand.smaller for demand in demands], axis=1)
    return np.stack([smaller, np.stack([demand.larger for demand in demands], axis=1)])


def _outcome(
    claim: Claim, demands: list[Demand], values: Array, basis: str
) -> tuple[str, Array, Array]:
    """Return the stated verdict, and which demands are met and which significantly reversed."""
    smaller, larger = values
    gaps = average(larger, basis) - average(smaller, basis)  # NaN, not met, without any value
    p = holm(sign_flip(less(smaller, larger)))
    met = (gaps > 0) | ((gaps == 0) & ~np.array([demand.strict for demand in demands]))
    against = ~met & (p < ALPHA)
    sizes = np.array([demand.size for demand in demands])
    unmet = len(np.unique(sizes[~met]))
    if claim.both_ways:
        outcome = "holds" if met.any() and not met.all() else "fails"
    elif unmet == 0:
        outcome = "holds"
    elif against.any() or unmet > len(np.unique(sizes)) / 2:
        outcome = "fails"
    else:
        outcome = "mixed"
    return outcome, met, against


def _calibrated(claim: Claim, demands: list[Demand]) -> Verdict:
    d = less(*_values(demands))
    margins = np.array([demand.margin for demand in demands])
    intervals = [median_interval(column) for column in -d.T]
    short = np.array([interval.high for interval in intervals]) < margins
    p = sign_flip(d + margins, "less")
    if claim.both_ways:
        up_p = sign_flip(margins - d, "less")
        met, against = p < ALPHA, up_p < ALPHA
        largest = min(1.0, max(p.min(), up_p.min()) * len(demands))
        failed = against.all() or met.all() or short.all()
    else:
        sure = np.array([interval.confidence for interval in intervals]) >= 1.0 - ALPHA
        wrong = (sign_flip(d, "greater") < ALPHA) | (short & sure)
        if claim.name == "C5":  # where 1 % is the limit, it is for the 95th percentile
            rare = np.array([demand.what.endswith("1 %") for demand in demands])
            misses, pairs = (d > 0).sum(axis=0), np.isfinite(d).sum(axis=0)
            p = np.where(rare, binom.cdf(misses, pairs, 0.05), p)
            wrong = np.where(rare, binom.sf(misses - 1, pairs, 0.05) < ALPHA, wrong)
        met, against = p < ALPHA, wrong & (p >= ALPHA)
        largest = p.max()
        failed = against.any()
    outcome = "holds" if largest < ALPHA else "fails" if failed else "undetermined"
    verdict = _describe(claim, "calibrated", outcome, demands, met, against, largest)
    if claim.on_sweep:
        own = f"on the {len(d)} seeds of the sweep, which it is stated on: no fresh ones"
        verdict = replace(verdict, reading=f"{own}; {verdict.reading}")
    return verdict


def _describe(
    claim: Claim,
    basis: str,
    outcome: str,
    demands: list[Demand],
    met: Array,
    against: Array,
    p: float,
) -> Verdict:
    sizes = sorted({demand.size for demand in demands})
    unmet = {demands[m].size for m in np.flatnonzero(~met)}
    good = [str(size) for size in sizes if size not in unmet]
    smaller, larger = _values(demands)
    d = less(larger, smaller)
    gaps = [median_interval(column) for column in d.T]
    scale = np.sqrt(average(np.square(d - average(d))))
    scale[~(scale > 0.0)] = 1.0
    worst = int(np.argmin([gap.median for gap in gaps] / scale))
    weakest = f"N = {demands[worst].size}, {demands[worst].what}"
    words = "reversed" if claim.both_ways else "contradicted"
    where = f"N = {', '.join(good)}" if good else "no N"
    reading = (
        f"{met.sum()} of {len(met)} demands met, {against.sum()} {words}; all met at {where}; "
        f"least favourable: {weakest}"
    )
    return Verdict(
        claim.name,
        claim.text,
        basis,
        outcome,
        len(demands),
        int(met.sum()),
        int(against.sum()),
        " ".join(map(str, sizes)),
        " ".join(good),
        weakest,
        *gaps[worst][:3],
        float(p),
        reading=reading,
    )
