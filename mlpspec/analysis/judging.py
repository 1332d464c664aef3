"""How the claims are judged, as stated and calibrated.

**As stated**: on the means (and, apart, the medians) of the study's own runs. A claim ``holds``
where every demand is met; it ``fails`` where some demand is contradicted significantly
(two-sided sign-flip test, Holm over the claim's demands) or where demands are unmet at most
sizes; else it is ``mixed``, and ``untested`` where runs are missing.

**Calibrated**: on fresh seeds, with a margin of substance (0.1 of the mean spacing for errors,
0.05 for shares), size by size. A demand is met if the paired differences lie beyond the margin
(one-sided sign-flip test), contradicted if they lie on the wrong side of zero, or if their interval
falls short of the margin. A claim holds at a size where every demand is met at p < 0.05 (an
intersection-union test: its p is the largest; where a subset was chosen among several on the same
seeds, that times their number), after Holm over all claims and sizes. It ``holds``
if it does at all sizes, ``in part`` at some; else it ``fails`` if a demand is contradicted, and is
``undetermined`` otherwise. It is ``transient`` if it holds somewhere after the fewest steps, and
nowhere after the most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from mlpspec.analysis.claims import CLAIMS, Claim, Demand, Evidence, Verdict
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
        judged = _Judged(claim, demands, met, against, np.array([]))
        verdict = _describe(judged, f"stated, {basis}", outcome)
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


def judge_calibrated(stages: Sequence[Evidence]) -> list[Verdict]:
    """Judge all claims with margins of substance, after few and after many steps.

    Parameters
    ----------
    stages : sequence of Evidence
        One for each number of steps, ascending; the claims about temperatures, of which the sweep
        is trained once, are judged on the first. Without any all claims are untested.

    Returns
    -------
    list of Verdict
        One a claim, in the order of `CLAIMS`.

    Examples
    --------
    >>> {verdict.verdict for verdict in judge_calibrated([])}
    {'untested'}
    """
    stages = stages or [Evidence()]
    judged = [_judge_stage(evidence, stages[0]) for evidence in stages]
    final = []
    for claim, first, last in zip(CLAIMS, judged[0], judged[-1], strict=True):
        on_sweep = claim.on_sweep  # which is trained once, whatever the steps of the grid
        if len(judged) > 1 and not on_sweep and "untested" not in (first.verdict, last.verdict):
            gone = first.verdict in ("holds", "in part") and not last.met_at
            late = f"{first.reading}; after the most steps {last.reading.partition(';')[0]}"
            verdict = "transient" if gone else first.verdict
            first = replace(first, verdict=verdict, reading=late)
        final.append(first)
    return final


def _judge_stage(evidence: Evidence, first: Evidence) -> list[Verdict]:
    """Return the calibrated verdicts after one number of steps."""
    judged: list[Verdict | _Judged] = []
    for claim in CLAIMS:
        demands = _demands(claim, first if claim.on_sweep else evidence, True)
        judged.append(_untested(claim, "calibrated", demands) or _calibrated(claim, demands))
    p = [number for row in judged if isinstance(row, _Judged) for number in row.p]
    adjusted = iter(holm(np.array(p)))
    return [
        _summed_up(row, [next(adjusted) for _ in row.p]) if isinstance(row, _Judged) else row
        for row in judged
    ]


def _demands(claim: Claim, evidence: Evidence, calibrated: bool) -> list[Demand]:
    """Return what a claim demands; nothing if runs are missing that it is about."""
    if claim.on_sweep:
        if evidence.sweep is None or claim.on_sweep not in evidence.sweep.labels:
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
    else:
        mend = "mlpspec run tau-sweep --out DIR/tau-sweep" if claim.on_sweep else "mlpspec run"
        if basis == "calibrated":
            mend = "mlpspec run confirm --out DIR/confirm"
        reading = f"runs are missing: {mend}, then mlpspec report DIR"
    return Verdict(claim.name, claim.text, basis, "untested", reading=reading)


def _values(demands: list[Demand]) -> Array:
    """Return the smaller and the larger values of M demands over S seeds, (2, S, M)."""
    return np.stack([(demand.smaller, demand.larger) for demand in demands], axis=2)


def _outcome(
    claim: Claim, demands: list[Demand], values: Array, basis: str
) -> tuple[str, Array, Array]:
    """Return the stated verdict, and which demands are met and which significantly reversed."""
    smaller, larger = values
    gaps = average(larger, basis) - average(smaller, basis)  # NaN, not met, without any value
    # Two-sided, but only what speaks against: where one outlier turns a mean round, ranks may not.
    p = holm(np.minimum(1.0, 2.0 * sign_flip(less(smaller, larger), "greater")))
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


class _Judged(NamedTuple):
    """A claim's demands with what was found: met and contradicted (M,), and p size by size.

    A claim that goes both ways is judged over all sizes and has one p; as stated there is none.
    """

    claim: Claim
    demands: list[Demand]
    met: Array
    against: Array
    p: Array

    def sizes(self, which: Array | slice = slice(None)) -> Array:
        """Return the sizes of demands, of all or of those ``which``, in ascending order."""
        return np.unique(np.array([demand.size for demand in self.demands])[which])


def _calibrated(claim: Claim, demands: list[Demand]) -> _Judged:
    d = less(*_values(demands))
    margins = np.array([demand.margin for demand in demands])
    p = sign_flip(d + margins, "less")
    if claim.both_ways:
        up_p = sign_flip(margins - d, "less")
        both = min(1.0, max(p.min(), up_p.min()) * len(demands))
        return _Judged(claim, demands, p < ALPHA, up_p < ALPHA, np.array([both]))
    intervals = [median_interval(column) for column in -d.T]
    short = np.array([interval.high for interval in intervals]) < margins
    sure = np.array([interval.confidence for interval in intervals]) >= 1.0 - ALPHA
    wrong = (sign_flip(d, "greater") < ALPHA) | (short & sure)
    share = np.array([demand.may_miss for demand in demands])
    misses, pairs = (d > 0).sum(axis=0), np.isfinite(d).sum(axis=0)
    p = np.where(share > 0, binom.cdf(misses, pairs, share), p)
    wrong = np.where(share > 0, binom.sf(misses - 1, pairs, share) < ALPHA, wrong)
    p = np.minimum(1.0, p * np.array([demand.chosen_of for demand in demands]))
    sizes = np.array([demand.size for demand in demands])
    by_size = np.array([p[sizes == size].max() for size in np.unique(sizes)])
    return _Judged(claim, demands, p < ALPHA, wrong & (p >= ALPHA), by_size)


def _summed_up(judged: _Judged, of_sizes: list[float]) -> Verdict:
    """Return the verdict over all sizes, from the p of each after Holm."""
    adjusted, sizes, contradicted = np.array(of_sizes), judged.sizes(), judged.sizes(judged.against)
    if judged.claim.both_ways:
        held = judged.sizes(judged.met)
        one_way = judged.met.all() or judged.against.all()
        outcome = "holds" if adjusted[0] < ALPHA else "fails" if one_way else "undetermined"
        reading = f"lower {_at(held, sizes)}; higher {_at(contradicted, sizes)}"
    else:
        held = sizes[adjusted < ALPHA]
        words = {len(sizes): "holds", 0: "fails" if len(contradicted) else "undetermined"}
        outcome = words.get(len(held), "in part")
        reading = f"{_at(held, sizes)}; contradicted {_at(contradicted, sizes)}"
    verdict = _describe(judged, "calibrated", outcome)
    return replace(
        verdict,
        met_at=" ".join(map(str, held)),
        p_holm=float(adjusted.max()),
        reading=f"{reading}; least favourable: {verdict.weakest}",
    )


def _at(some: Array, sizes: Array) -> str:
    """Return words for the sizes at which something is so."""
    if len(some) == 0:
        return "at no N"
    if len(some) == len(sizes):
        return f"at all {len(sizes)} N"
    named = f"N = {', '.join(map(str, some))}"
    return f"at {len(some)} of {len(sizes)} sizes ({named})" if len(some) > 1 else f"at {named}"


def _describe(judged: _Judged, basis: str, outcome: str) -> Verdict:
    claim, demands, met, against, p = judged
    sizes, contradicted = judged.sizes(), judged.sizes(against)
    good = np.setdiff1d(sizes, judged.sizes(~met))
    smaller, larger = _values(demands)
    d = less(larger, smaller)
    gaps = [median_interval(column) for column in d.T]
    scale = np.sqrt(average(np.square(d - average(d))))
    scale[~(scale > 0.0)] = 1.0
    worst = int(np.argmin([gap.median for gap in gaps] / scale))
    weakest = f"N = {demands[worst].size}, {demands[worst].what}"
    words = "reversed" if claim.both_ways else "contradicted"
    where = f"N = {', '.join(map(str, good))}" if len(good) else "no N"
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
        " ".join(map(str, good)),
        " ".join(map(str, contradicted)),
        weakest,
        *gaps[worst][:3],
        float(p.max()) if len(p) else np.nan,
        reading=reading,
    )
