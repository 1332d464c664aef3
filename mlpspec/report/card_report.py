"""The page, the table and the figures of a loss card, from what was trained for it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mlpspec.analysis.analysis import Analysis
from mlpspec.losses import LossReport
from mlpspec.losses.objective import INERT
from mlpspec.report import card, tables
from mlpspec.report.report import cell, citation_section, draw_all, figure_section, page
from mlpspec.store.results import Results, Table, replacing, write_csv
from mlpspec.study.extensions import define

MEASUREMENTS = (
    "reconstruction_error",
    "nearest_error",
    "fit_fvu",
    "usage_ratio",
    "distinct_usage_ratio",
    "silent_fraction",
    "outside_fraction",
    "expelled_fraction",
    "overshoot",
)
"""What the figure of the effect shows; the table has all."""

HEADINGS = {
    "force": "Force at the start",
    "alone": "The loss alone",
    "effect": "The loss beside the fit",
}


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
    analysis, alone = Analysis(directory), Results(directory / "alone")
    force, effect = card.force_summary(forces), card.effects(analysis)
    rest = card.alone_summary(alone, checks.loss)
    made = define("own", checks.loss)
    call = f"{made.class_name}({', '.join(f'{key}={value!r}' for key, value in made.fields)})"
    write_csv(
        directory / "card.csv",
        card.table(name, f"{call}, source {made.source}", checks, force, rest, effect),
    )
    pictures = draw_all(
        {
            "force": forces,
            "alone": card.alone_points(alone),
            "effect": tables.over_sizes(
                analysis, MEASUREMENTS, card.by_weight(analysis.results.table)
            ),
        },
        directory / "figures",
    )
    unit = str(effect["weight_unit"][0])
    numbers = {
        "force": _table(_force_columns(force)),
        "alone": _table(_alone_columns(rest), tall=True),
        "effect": _table(_effect_columns(effect), tall=True),
    }
    sections = [
        f"<h1>{escape(name)}</h1>",
        f"<p class='lead'>{escape(_first_sentence(checks.loss))}</p>",
        f"<p><code>{escape(call)}</code>, source <code>{escape(made.source)}</code>. Every loss "
        "has the same card: the same runs, measurements and columns (<code>card.csv</code>).</p>",
        _glance_section(checks, force, rest, effect, [analysis.results, alone]),
        _check_section(checks),
    ]
    for figure, svg in pictures.items():
        drawn = figure_section(HEADINGS[figure], svg, _caption(figure, unit))
        sections.append(drawn.replace("</section>", f"{numbers[figure]}</section>"))
    sections.append(citation_section())
    path = directory / "card.html"
    with replacing(path) as file:
        file.write(page(f"Loss card: {name}", sections))
    return path


def _first_sentence(loss: Any) -> str:
    text = inspect.getdoc(type(loss)) or ""
    return text.split("\n\n")[0].replace("\n", " ")


def _caption(figure: str, unit: str) -> str:
    n_seeds = len(card.SEEDS)
    if figure == "force":
        return (
            f"Left: root mean square gradient of the loss at weight 1 over that of the fit, over "
            f"all parameters, at the start of training, for the {n_seeds} seeds of each N. Right: "
            "its inverse, the weight at which both are equal; inert seeds have none. A dot is a "
            "seed, spread sideways so that all are seen; bars are medians. Hollow: the loss is "
            f"inert, with less than {INERT:g} of the fit's force; smaller ratios are drawn there."
        )
    if figure == "alone":
        return (
            f"Prototypes before and after {card.ALONE_STEPS:,} steps on the loss alone, without a "
            f"fit (weight 1, N = {card.ALONE_SIZE}): three seeds on a line, one in the plane. Grey "
            "lines join a prototype's start and end; they are not its path. Shaded: the convex "
            "hull of the inputs. Prototypes beyond the frame are counted, with the distance of the "
            f"furthest from the origin. The table: medians over {n_seeds} seeds with their exact "
            "intervals. How far it has settled: the gradient at the end over that at the start, "
            "and the furthest way of a prototype in the last tenth of the steps, in mean spacings."
        )
    weights = ", ".join(f"{weight:g}" for weight in card.WEIGHTS)
    matched = (
        f"weights {weights}, each a share of the fit's force at the start, matched seed by seed"
        if unit == "force"
        else f"absolute weights {weights}, because the loss is inert at the start for some seed "
        "and no weight would match its force to the fit's"
    )
    return (
        f"What the loss does beside the fit after {card.STEPS:,} steps: {matched}. Dots: one run "
        f"each ({n_seeds} seeds a point); markers and bars: the median and its exact "
        "order-statistic interval of at least 95 % (97.9 % for ten seeds). Grey: what chance or "
        "ignorance would give. Values below the axis are drawn at its end (0.001 for errors and "
        "overshoot, 1e-12 for unexplained variance). The table: all measurements; differences "
        "from the baseline are paired over seeds, with the p-value of the sign-flip test, plain "
        f"and after Holm over the {len(card.SIZES) * len(card.WEIGHTS)} comparisons of a "
        "measurement. Select a heading to sort."
    )


# -------------------------------------------------------------------------------- sections


def _glance_section(
    checks: LossReport, force: Table, alone: Table, effect: Table, results: Sequence[Results]
) -> str:
    found = {check.name: check for check in checks.checks}
    lines = [
        f"Gradient: worst error {found['gradient'].value:.1g} of a run's largest entry; "
        f"permuting the neurons changes the value by {found['permutation'].value:.1g}.",
        _force_line(force),
        *[_alone_line(alone, n_inputs) for n_inputs in np.unique(alone["n_inputs"])],
        _effect_line(effect),
    ]
    status = [state for result in results for state in result.status.values()]
    counts = {state: status.count(state) for state in ("ok", "diverged", "failed")}
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    lines.append(f"{len(status)} runs: {told}.")
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<section><h2 id='glance'>At a glance</h2><ul>{items}</ul></section>"


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
    of = dict(zip(alone["quantity"][mine], alone["value"][mine], strict=True))
    where = "on a line" if n_inputs == 1 else "in the plane"
    ratio = of["gradient_ratio"]
    settled = (
        f"its gradient is {ratio:.2g} times that at the start, and the furthest prototype moves "
        f"{of['late_movement']:.2g} mean spacings in the last tenth"
        if np.isfinite(ratio)
        else "it has no gradient from the start on, and nothing moves"
    )
    return (
        f"Alone {where}, after {card.ALONE_STEPS:,} steps: {settled}; "
        f"{100 * of['outside_fraction']:.0f} % of the prototypes are outside the hull, the "
        f"distinct usage ratio is {of['distinct_usage_ratio']:.2g} (medians)."
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
    columns = {
        "check": [check.name for check in checks.checks],
        "": [check.verdict for check in checks.checks],
        "found": [check.detail for check in checks.checks],
    }
    return (
        "<section><h2 id='checks'>Checks</h2><p class='note'>What <code>mlpspec check-loss</code> "
        "finds: gradients against eighth-order differences, invariances, and the loss where "
        f"prototypes coincide or are far away.</p>{_table(columns, sort=False)}</section>"
    )


def _force_columns(force: Table) -> Mapping[str, Any]:
    shown = {"N": "n_samples", "loss / fit": "ratio", "least": "ratio_low", "largest": "ratio_high"}
    shown |= {"weight of equal force": "equal_weight", "least ": "equal_weight_low"}
    shown |= {"largest ": "equal_weight_high", "inert seeds": "inert", "seeds": "seeds"}
    return {heading: force[name] for heading, name in shown.items()}


def _alone_columns(alone: Table) -> Mapping[str, Any]:
    shown = {"D": "n_inputs", "quantity": "quantity", "median": "value", "low": "low"}
    return {heading: alone[name] for heading, name in (shown | {"high": "high"}).items()}


def _effect_columns(effect: Table) -> Mapping[str, Any]:
    shown = {"measurement": "measurement", "N": "n_samples", "weight": "weight"}
    shown |= {"median": "value", "low": "low", "high": "high", "baseline": "baseline"}
    shown |= {"difference": "difference", "low ": "difference_low", "high ": "difference_high"}
    shown |= {"p": "p", "p Holm": "p_holm", "null grid": "null_grid"}
    shown |= {"null random": "null_random", "null start": "null_start"}
    return {heading: effect[name] for heading, name in shown.items()}


def _table(columns: Mapping[str, Any], *, sort: bool = True, tall: bool = False) -> str:
    """Return columns as a table, with headings that sort it."""
    titles = [
        f"<button type='button'>{escape(name)}</button>" if sort else escape(name)
        for name in columns
    ]
    kinds = [
        " class='number'" * (np.asarray(values).dtype.kind in "fi") for values in columns.values()
    ]
    head = "".join(
        f"<th scope='col'{kind}>{title}</th>" for kind, title in zip(kinds, titles, strict=True)
    )
    rows = "".join(
        f"<tr>{''.join(map(cell, row))}</tr>" for row in zip(*columns.values(), strict=True)
    )
    return (
        f"<div class='scroll{' tall' * tall}'><table{' class=sortable' * sort}>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
