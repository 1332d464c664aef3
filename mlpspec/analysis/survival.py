"""Which claims survive which choices: verdicts beside the default's own, on the same seeds.

A claim *survives* a set of settings if the verdict on it is the default's; it *turns round* if it
holds where the default's fails, or fails where that holds; else it is *undecided*: mixed, untested
for want of runs, or decided where the default is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpspec.analysis.comparisons import as_table, select
from mlpspec.analysis.readings import COUNTED, claims_of, share_of
from mlpspec.store.tables import Table
from mlpspec.study.choices import DEFAULT, Choices

OUTCOMES = ("survives", "turns round", "undecided")

COMBINED, ALL, CHANCE = "combinations", "all settings", "other seeds"
"""Rows of the table beside those of single axes: several choices changed, everything, and nothing
but the seeds."""


def outcomes(verdicts: NDArray[np.str_], own: str) -> NDArray[np.str_]:
    """Return what verdicts on a claim are beside the default's ``own``: of `OUTCOMES`.

    Examples
    --------
    >>> outcomes(np.array(["holds", "fails", "mixed"]), "holds").tolist()
    ['survives', 'turns round', 'undecided']
    """
    opposite = {"holds": "fails", "fails": "holds"}.get(own, "")
    rest = np.where(verdicts == opposite, "turns round", "undecided")
    return np.where(verdicts == own, "survives", rest)


def survival(readings: Table, choices: Choices, groups: Table | None = None) -> Table:
    """Return ``survival.csv``: what becomes of each claim along each axis, if it was tested.

    A row for each claim and axis, where the axis alone is changed; one for the random combinations;
    one for all of these settings; and one for the default on ``groups`` of other seeds
    (`mlpspec.analysis.readings.judge_groups`), which says what chance does. ``default`` is the
    default's verdict, ``settings`` how many others there are, ``survives``, ``turns_round`` and
    ``undecided`` in how many of them the claim does what; ``share`` in which it survives, with a
    95 % interval (Wilson) as if they were a sample; ``not_in`` names the options in which it does
    not survive.

    Examples
    --------
    >>> choices = {"fit": {"mean": {}, "half the mean": {"fit_weight": 0.5}}}
    >>> columns = {"variant": ["default", "half"], "fit": ["mean", "half the mean"]}
    >>> columns |= {"changed": [0, 1], "C1": ["holds", "mixed"]}
    >>> table = survival({name: np.array(column) for name, column in columns.items()}, choices)
    >>> table["axis"].tolist(), table["undecided"].tolist(), table["not_in"].tolist()
    (['fit', 'all settings'], [1, 1], ['half the mean', ''])
    """
    changed = readings["changed"]
    others = readings["variant"] != DEFAULT
    axes = {
        choice: (changed == 1) & (readings[choice] != readings[choice][~others])
        for choice in choices
    }
    axes |= {COMBINED: changed > 1, ALL: others}
    rows: list[dict[str, Any]] = []
    for claim in claims_of(readings):
        (own,) = readings[claim][~others].tolist()
        if own == "untested":
            continue
        parts = {axis: readings[claim][chosen] for axis, chosen in axes.items()}
        if groups:
            parts[CHANCE] = groups[claim]
        for axis, verdicts in parts.items():
            if len(verdicts) == 0:
                continue
            found = outcomes(verdicts, own)
            counts = [int((found == outcome).sum()) for outcome in OUTCOMES]
            options = readings[axis][axes[axis]][found != "survives"] if axis in readings else ()
            rows.append(
                {
                    "claim": claim,
                    "axis": axis,
                    "default": own,
                    "settings": len(found),
                    **dict(zip(("survives", "turns_round", "undecided"), counts, strict=True)),
                    **share_of(counts[0], len(found)),
                    "not_in": "; ".join(options),
                }
            )
    return as_table(rows)


def most_decisive(readings: Table) -> list[str]:
    """Return the options that were changed by themselves, the most decisive first.

    Most decisive is what turns most of the counted claims round (`COUNTED`), then what leaves most
    of them otherwise than the default has them, then what changes the shares of sizes at which
    their demands are met most, summed over claims; then the order of the names. Before them all
    comes the default.

    Examples
    --------
    >>> columns = {"variant": ["default", "a", "b"], "changed": [0, 1, 1]}
    >>> columns |= {"C1": ["holds", "mixed", "fails"], "C1_at": ["3/3", "1/3", "2/3"]}
    >>> most_decisive({name: np.array(column) for name, column in columns.items()})
    ['default', 'b', 'a']
    """
    claims = [claim for claim in COUNTED if claim in readings]
    default = readings["variant"] == DEFAULT
    found = np.array([outcomes(readings[claim], readings[claim][default][0]) for claim in claims])
    met = np.array([_shares(readings[f"{claim}_at"]) for claim in claims])
    apart = np.abs(met - met[:, default]).sum(axis=0)
    turned, other = (found == "turns round").sum(axis=0), (found != "survives").sum(axis=0)
    rows = np.flatnonzero(readings["changed"] == 1).tolist()
    rows.sort(key=lambda r: (-turned[r], -other[r], -round(apart[r], 9), readings["variant"][r]))
    return [DEFAULT, *select(readings, np.array(rows, dtype=int))["variant"].tolist()]


def _shares(at: Iterable[str]) -> NDArray[np.float64]:
    """Return shares of sizes, like ``2/3``, as numbers; 0 where there are none."""
    pairs = (text.split("/") for text in at)
    return np.array([int(some) / max(int(of), 1) for some, of in pairs])


def survival_lines(table: Table) -> list[str]:
    """Return the table of survival as text: a line an axis, a column a claim.

    A cell has how many settings a claim survives, in how many it turns round, and in how many it is
    undecided.

    Examples
    --------
    >>> row = {"claim": "C1", "axis": "fit", "default": "holds", "settings": 3, "survives": 2}
    >>> lines = survival_lines(as_table([row | {"turns_round": 0, "undecided": 1, "share": 0.67}]))
    >>> lines[1].split(), lines[2].split()
    (['(default)', 'holds'], ['fit', '2/0/1'])
    """
    claims, axes = (dict.fromkeys(table[name].tolist()) for name in ("claim", "axis"))
    cells = {
        (table["claim"][row], table["axis"][row]): "/".join(
            str(table[name][row]) for name in ("survives", "turns_round", "undecided")
        )
        for row in range(len(table["claim"]))
    }
    own = dict(zip(table["claim"].tolist(), table["default"].tolist(), strict=True))
    head = f"{'survives/turns round/undecided':32}" + "".join(f"{claim:>10}" for claim in claims)
    lines = [head, f"{'(default)':32}" + "".join(f"{own[claim]:>10}" for claim in claims)]
    for axis in axes:
        lines.append(f"{axis:32}" + "".join(f"{cells[claim, axis]:>10}" for claim in claims))
    return lines
