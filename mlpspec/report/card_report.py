"""The page, the table and the figures of a loss card, from what was trained for it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import as_table
from mlpspec.losses import LossReport
from mlpspec.report import card, report
from mlpspec.shown import counted
from mlpspec.store.results import Results
from mlpspec.store.tables import Table, replacing, write_csv
from mlpspec.study.extensions import define

FORCE_COLUMNS = {"N": "n_samples", "loss / fit": "ratio", "least": "ratio_low"}
FORCE_COLUMNS |= {"largest": "ratio_high", "weight of equal force": "equal_weight"}
FORCE_COLUMNS |= {"least ": "equal_weight_low", "largest ": "equal_weight_high"}
FORCE_COLUMNS |= {"inert seeds": "inert", "seeds": "seeds"}
"""Columns of the tables beside the figures, by their headings."""

ALONE_COLUMNS = {"D": "n_inputs", "quantity": "quantity", "median": "value"}
ALONE_COLUMNS |= {"low": "low", "high": "high", "seeds": "seeds"}

EFFECT_COLUMNS = {"measurement": "measurement", "N": "n_samples", "weight": "weight"}
EFFECT_COLUMNS |= {"median": "value", "low": "low", "high": "high", "baseline": "baseline"}
EFFECT_COLUMNS |= {"difference": "difference", "low ": "difference_low", "high ": "difference_high"}
EFFECT_COLUMNS |= {"pairs": "seeds", "p": "p", "p Holm": "p_holm", "null grid": "null_grid"}
EFFECT_COLUMNS |= {"null random": "null_random", "null start": "null_start"}


def write(directory: Path, name: str, checks: LossReport, forces: Table) -> Path:
    """Write ``card.html``, ``card.csv`` and ``figures/`` into a directory; return the page's path.

    Parameters
    ----------
    directory : path
        Holds the runs of `card.study`, and in ``alone`` those of `card.alone_study`.
    name : str
        Of the loss.
    checks : LossReport
        What `check_loss` found.
    forces : Table
        What `card.forces` found.
    """
    from mlpspec.report import figures

    runs = card.CardRuns(Analysis(directory), Results(directory / "alone"), forces)
    force, effect = card.force_summary(forces), card.effects(runs.analysis)
    alone = card.alone_summary(runs.alone, checks.loss)
    definition = define("own", checks.loss)
    arguments = ", ".join(f"{key}={value!r}" for key, value in definition.fields)
    call = f"{definition.class_name}({arguments})"
    write_csv(
        directory / "card.csv",
        card.table(name, f"{call}, source {definition.source}", checks, force, alone, effect),
    )
    tables = {key: figure.rows(runs) for key, figure in figures.CARD_FIGURES.items()}
    numbers = {
        "force": _table(force, FORCE_COLUMNS, tall=False),
        "alone": _table(alone, ALONE_COLUMNS),
        "effect": _table(effect, EFFECT_COLUMNS),
    }
    drawn = report.draw_all(tables, directory / "figures", below=numbers)
    sections = [
        f"<h1>{escape(name)}</h1>",
        f"<p class='lead'>{escape(_first_sentence(checks.loss))}</p>",
        f"<p><code>{escape(call)}</code>, source <code>{escape(definition.source)}</code>. "
        "Every loss has the same card: the same runs, measurements and columns "
        "(<code>card.csv</code>).</p>",
        _glance_section(checks, force, alone, effect, [runs.analysis.results, runs.alone]),
        _check_section(checks),
        *drawn.values(),
        report.citation_section(),
    ]
    path = directory / "card.html"
    with replacing(path) as file:
        file.write(report.page(f"Loss card: {name}", sections))
    return path


def _first_sentence(loss: Any) -> str:
    text = inspect.getdoc(type(loss)) or ""
    return text.split("\n\n")[0].replace("\n", " ")


# -------------------------------------------------------------------------------- sections


def _glance_section(
    checks: LossReport, force: Table, alone: Table, effect: Table, results: Sequence[Results]
) -> str:
    by_name = {check.name: check for check in checks.checks}
    lines = [
        f"Gradient: worst error {by_name['gradient'].value:.1g} of a run's largest entry; "
        f"permuting the neurons changes the value by {by_name['permutation'].value:.1g}.",
        _force_line(force),
        *[_alone_line(alone, n_inputs) for n_inputs in np.unique(alone["n_inputs"])],
        _effect_line(effect),
    ]
    status = [state for result in results for state in result.status.values()]
    lines.append(f"{len(status)} runs: {counted(status)}.")
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return report.section("glance", f"<ul>{items}</ul>", "At a glance")


def _force_line(force: Table) -> str:
    inert = int(force["inert"].sum())
    total = int(force["seeds"].sum())
    told = f"it is inert in {inert} of {total} starts" if inert else "it is inert in no start"
    (row,) = np.flatnonzero(force["n_samples"] == card.ALONE_SIZE)
    return (
        f"Force: at N = {card.ALONE_SIZE} and weight 1 it is {force['ratio'][row]:.2g} of the "
        f"fit's ({force['ratio_low'][row]:.2g} to {force['ratio_high'][row]:.2g}); from N = "
        f"{card.FORCE_SIZES[0]} to {card.FORCE_SIZES[-1]} the median goes from "
        f"{force['ratio'][0]:.2g} to {force['ratio'][-1]:.2g}; {told}."
    )


def _alone_line(alone: Table, n_inputs: int) -> str:
    mine = alone["n_inputs"] == n_inputs
    medians = dict(zip(alone["quantity"][mine], alone["value"][mine], strict=True))
    where = "on a line" if n_inputs == 1 else "in the plane"
    ratio = medians["gradient_ratio"]
    settled = (
        f"its gradient is {ratio:.2g} times that at the start, and the furthest prototype moves "
        f"{medians['late_movement']:.2g} mean spacings in the last tenth"
        if np.isfinite(ratio)
        else "it has no gradient from the start on, and nothing moves"
    )
    return (
        f"Alone {where}, after {card.ALONE_STEPS:,} steps: {settled}; "
        f"{100 * medians['outside_fraction']:.0f} % of the prototypes are outside the hull, the "
        f"distinct usage ratio is {medians['distinct_usage_ratio']:.2g} (medians)."
    )


def _effect_line(effect: Table) -> str:
    """Say what the middle weight does at the middle N."""
    weight, size = card.WEIGHTS[len(card.WEIGHTS) // 2], card.SIZES[len(card.SIZES) // 2]
    parts = []
    for name in ("nearest_error", "distinct_usage_ratio", "outside_fraction", "fit_fvu"):
        chosen = (effect["measurement"] == name) & (effect["weight"] == weight)
        (row,) = np.flatnonzero(chosen & (effect["n_samples"] == size))
        parts.append(
            f"{name.replace('_', ' ')} {effect['value'][row]:.2g} against "
            f"{effect['baseline'][row]:.2g} (p = {effect['p_holm'][row]:.2g})"
        )
    unit = (
        "as strong as it at the start"
        if effect["weight_unit"][0] == "force"
        else f"at weight {weight:g}, absolute, as its force cannot be matched for every seed"
    )
    return (
        f"Beside the fit, {unit}, N = {size}: {', '.join(parts)}; medians, with and without "
        "the loss, p after Holm."
    )


def _check_section(checks: LossReport) -> str:
    rows = [{"check": c.name, "": c.verdict, "found": c.detail} for c in checks.checks]
    return report.section(
        "checks",
        "<p class='note'>What <code>mlpspec check-loss</code> finds: gradients against "
        "eighth-order differences, invariances, and the loss where prototypes coincide or are far "
        f"away.</p>{report.html_table(as_table(rows), tall=False, sortable=False)}",
    )


def _table(table: Table, columns: Mapping[str, str], *, tall: bool = True) -> str:
    """Return columns of a table, by their headings, with headings that sort it."""
    shown = {title: table[name] for title, name in columns.items()}
    return report.html_table(report.in_words(shown), tall=tall)
