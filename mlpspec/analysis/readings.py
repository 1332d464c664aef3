"""Judging variants: which claims hold in which of them, and which choice decides that.

Each variant of a study with the eight subsets is judged by itself, as stated on means, by the
demands of `mlpspec.analysis.claims`; for C8 the sweep in the folder ``tau-sweep`` is needed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest

from mlpspec.analysis.claims import CLAIMS, EIGHT, Evidence
from mlpspec.analysis.comparisons import Grid, as_table, where
from mlpspec.analysis.judging import judge_stated
from mlpspec.arrays import Array
from mlpspec.store.results import Results
from mlpspec.store.tables import Table
from mlpspec.study.choices import Choices, options_of
from mlpspec.study.stages import choices_of, default_of, without_separation_temperature

COUNTED = tuple(claim.name for claim in CLAIMS if claim.name != "C1b")
"""Claims that are counted: C1 in its strict reading alone."""

SWEEP = ("n_samples", "separation_temperature")

DRAWS = 400
"""Resamples for an interval, and permutations for what chance gives."""


def judge_variants(results: Results, sweep: Results | None) -> Table:
    """Return ``readings.csv``: a row for each variant, the best first.

    Columns are ``variant``, the option of every choice (``other`` for settings that are no option),
    ``changed`` (choices in which the variant differs from what all share), the verdict on each
    claim, at how many of how many sizes all its demands are
    met (``C1_at``, like ``2/3``; for C3 those at which the error falls), ``hold`` (counted claims
    that hold) and ``met`` (the sum of the shares of sizes; C3 counts 1 if it holds). Best is the
    most that hold, then the largest ``met``, then the fewest changes.

    Parameters
    ----------
    results : Results
        Of a study with variants and the eight subsets.
    sweep : Results, optional
        Separation alone over its temperature, for the same variants; without it C8 is untested.
    """
    study, variants = results.study, results.study.variants
    choices, default = choices_of(study.name), default_of(study.name)
    shared = options_of(study.settings, choices, default)
    swept = sweep.study.variants if sweep is not None else {}
    sweep_of = _by_variant(sweep)
    rows = []
    for name, table in _by_variant(results).items():
        rest = without_separation_temperature(variants[name])
        same = next((other for other, settings in swept.items() if settings == rest), "")
        options = options_of({**study.settings, **variants[name]}, choices, default)
        row: dict[str, Any] = {"variant": name, **options}
        row["changed"] = sum(options[choice] != shared[choice] for choice in options)
        rows.append(row | _verdicts(table, sweep_of.get(same)))
    rows.sort(key=lambda row: (-row["hold"], -row["met"], row["changed"], row["variant"]))
    return as_table(rows)


def judge_groups(results: Results, sweep: Results | None, count: int) -> Table:
    """Return verdicts as `judge_variants` does, on ``count`` seeds of one variant at a time.

    A row for each group of seeds that is complete, in ascending order, without options.

    Parameters
    ----------
    results : Results
        Of the eight subsets in one variant.
    sweep : Results, optional
        Separation alone over its temperature, for the same seeds.
    count : int
    """
    seeds = np.unique(results.table["seed"])
    rows = []
    for first in range(0, len(seeds) - count + 1, count):
        group = seeds[first : first + count]
        swept = None if sweep is None else where(sweep.table, seed=group)
        rows.append(_verdicts(where(results.table, seed=group), swept))
    return as_table(rows)


def _verdicts(table: Table, swept: Table | None) -> dict[str, Any]:
    """Return the columns of verdicts on some runs of one variant, with their sweep if there is."""
    sweep = None if swept is None else Grid(swept, SWEEP)
    evidence = Evidence(Grid(where(table, losses=EIGHT)), sweep=sweep)
    row: dict[str, Any] = {}
    hold, met = 0, 0.0
    for verdict in judge_stated(evidence, repeats=0):
        at, of = len(verdict.met_at.split()), len(verdict.sizes.split())
        row |= {verdict.claim: verdict.verdict, f"{verdict.claim}_at": f"{at}/{of}"}
        if verdict.claim in COUNTED:
            hold += verdict.verdict == "holds"
            met += verdict.verdict == "holds" or (at / of if of and verdict.claim != "C3" else 0)
    return {**row, "hold": hold, "met": round(met, 6)}


def _by_variant(results: Results | None) -> dict[str, Table]:
    """Return the runs of each variant of the last session's study."""
    if results is None or "variant" not in results.table:
        return {}
    found = {name: where(results.table, variant=name) for name in results.study.variants}
    return {name: table for name, table in found.items() if len(table["key"])}


def shares(readings: Table) -> Table:
    """Return in how many variants each claim holds, with a 95 % interval (Wilson).

    Examples
    --------
    >>> table = shares({"C1": np.array(["holds", "fails", "holds", "mixed"])})
    >>> table["claim"].tolist(), table["holds"].tolist(), table["low"].round(2).tolist()
    (['C1'], [2], [0.15])
    """
    rows = []
    for claim in claims_of(readings):
        holds, count = int((readings[claim] == "holds").sum()), len(readings[claim])
        rows.append({"claim": claim, "holds": holds, "variants": count, **share_of(holds, count)})
    return as_table(rows)


def share_of(some: int, count: int) -> dict[str, float]:
    """Return a share with its 95 % interval (Wilson), as columns.

    Examples
    --------
    >>> {name: round(float(value), 2) for name, value in share_of(2, 3).items()}
    {'share': 0.67, 'low': 0.21, 'high': 0.94}
    """
    interval = binomtest(some, count).proportion_ci(method="wilson")
    return {"share": some / count, "low": interval.low, "high": interval.high}


def decisive(readings: Table, choices: Choices) -> Table:
    """Return ``choices.csv``: how far each choice decides each claim.

    ``association`` is Cramer's V, of 0 to 1, between the option and whether the claim holds, over
    variants; ``low`` and ``high`` are its 95 % bootstrap interval, ``chance`` the 95th percentile
    of what it is if verdicts are permuted. V is biased upwards where it is small, and its interval
    more so: one that does not lie above ``chance`` says nothing. ``best`` and ``worst`` are the
    options with the largest and the smallest share of variants in which the claim holds. A claim
    that holds in all variants or in none, and a choice that has one option in all, have no row.

    Examples
    --------
    >>> options, verdicts = np.array(["mean", "sum"] * 20), np.array(["holds", "fails"] * 20)
    >>> reading = {"overlap of pairs": options, "C6": verdicts}
    >>> table = decisive(reading, choices_of("readings"))
    >>> table["association"].round(3).tolist(), table["best"].tolist()
    ([1.0], ['mean'])
    """
    rng = np.random.Generator(np.random.PCG64(9))
    lines = []
    names = [choice for choice in choices if choice in readings]
    for claim, name in itertools.product(claims_of(readings), names):
        holds = readings[claim] == "holds"
        options, which = np.unique(readings[name], return_inverse=True)
        if len(options) < 2 or holds.all() or not holds.any():
            continue
        again = rng.integers(0, len(holds), (DRAWS, len(holds)))
        drawn = [cramers_v(which[rows], holds[rows]) for rows in again]
        permuted = [cramers_v(which, rng.permutation(holds)) for _ in range(DRAWS)]
        by_option = np.bincount(which, holds) / np.bincount(which)
        best, worst = by_option.argmax(), by_option.argmin()
        lines.append(
            {
                "claim": claim,
                "choice": name,
                "association": cramers_v(which, holds),
                "low": np.nanquantile(drawn, 0.025),
                "high": np.nanquantile(drawn, 0.975),
                "chance": np.quantile(permuted, 0.95),
                "best": options[best],
                "best_share": by_option[best],
                "worst": options[worst],
                "worst_share": by_option[worst],
            }
        )
    return as_table(lines)


def cramers_v(options: Any, holds: Array) -> float:
    """Return Cramer's V of a column of options and one of yes and no; NaN where one is constant.

    With two outcomes V^2 is the share of the variance of the outcome (0 or 1) that lies between
    options.

    Examples
    --------
    >>> cramers_v(np.array(["a", "a", "b", "b"]), np.array([True, False, True, False]))
    0.0
    """
    _, which = np.unique(options, return_inverse=True)
    counts, sums = np.bincount(which), np.bincount(which, holds)
    mean = holds.mean()
    if len(counts) < 2 or not 0.0 < mean < 1.0:
        return np.nan
    means = sums / counts
    return float(np.sqrt((counts * (means - mean) ** 2).sum() / (len(holds) * mean * (1.0 - mean))))


def claims_of(readings: Table) -> Sequence[str]:
    """Return the claims that a table has verdicts on.

    Examples
    --------
    >>> claims_of({"C2": np.array(["holds"]), "weight": np.array(["0.1"])})
    ['C2']
    """
    return [claim.name for claim in CLAIMS if claim.name in readings]
