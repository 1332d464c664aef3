"""The report of a results directory: tables, figures, and one page that holds them all.

The page needs no network, no other file and no script to be read; a script sorts its table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from mlpspec import __version__
from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.claims import Verdict
from mlpspec.analysis.comparisons import as_table
from mlpspec.errors import InputError
from mlpspec.report import verdicts
from mlpspec.shown import counted, readable, three_digits
from mlpspec.store.results import Results
from mlpspec.store.tables import Table, replacing, write_csv
from mlpspec.study.readings import CHOSEN, READING
from mlpspec.study.run import SETTINGS
from mlpspec.study.study import Study

DASH = "\u2013"


class Report:
    """The figures and the page of a results directory.

    Parameters
    ----------
    directory : path

    Raises
    ------
    ValueError
        The directory, or one inside that belongs to it, cannot be read or holds no run.
    """

    def __init__(self, directory: str | Path) -> None:
        self.analysis = Analysis(directory)
        self.directory = self.analysis.directory
        if not self.analysis.results.status:
            raise InputError(f"{self.directory} holds no run yet; run the study again")

    def write(self, formats: tuple[str, ...] = ("svg", "png")) -> Path:
        """Write tables, figures, ``report.html`` and ``explore.html``; return the report's path."""
        from mlpspec.report import explorer, figures

        self.analysis.results.write_tables()
        self.analysis.write_tables()
        sections = draw_all(figures.tables(self.analysis), self.directory / "figures", formats)
        path = self.directory / "report.html"
        with replacing(path) as file:
            file.write(self._page(sections))
        explorer.write(self.analysis.results)
        return path

    def _page(self, figures: dict[str, str]) -> str:
        results = self.analysis.results
        study = results.study
        status = results.status.values()
        sections = [
            f"<h1>{escape(study.name)}</h1>",
            f"<p class='lead'>{escape(study.question)}</p>",
            f"<p>{len(status)} runs: {counted(status)}. Definitions are this project's "
            "reconstruction of the study arXiv:2605.25939, whose code is unreleased; see the "
            "README of mlpspec.</p>",
            _described(study),
            "<p>Single runs, as they trained, and two beside each other: "
            "<a href='explore.html'>explore.html</a>, a page of its own.</p>",
        ]
        if figures.pop("verdicts", ""):  # the page has a table in place of the picture
            sections.append(_verdict_section(self.analysis.verdicts))
        sections += figures.values()
        sections.append(_comparison_section(self.analysis.comparisons_table(), study.name))
        sections.append(_trouble_section(results))
        sections.append(_provenance_section(results.sessions))
        return page(study.name, [*sections, citation_section()])


def _described(study: Study) -> str:
    """Say what varies, which settings are not the defaults, and what losses of one's own are."""
    varied = []
    for name, values in study.axes.items():
        words = ["+".join(v) or "baseline" for v in values] if name == "losses" else values
        shown = ", ".join(map(str, words)) if len(words) <= 16 else f"{len(words)} values"
        varied.append(f"{name} ({shown})")
    lines = [f"Varied: {'; '.join(varied)}."]
    if study.variants:
        names = [*study.variants]
        listed = ", ".join(names[:16]) + (", ..." if len(names) > 16 else "")
        lines.append(f"{len(names)} variants, sets of settings of their own: {listed}.")
    fixed = ", ".join(f"{name}={SETTINGS[name].meaning(v)}" for name, v in study.settings.items())
    lines.append(f"Other settings: {fixed or 'the defaults'}.")
    if READING.items() <= study.settings.items():
        lines.append(f"How the default was chosen: {CHOSEN}")
    lines += [f"Loss {name}: {what}." for name, what in study.extensions.items()]
    if study.extensions:
        lines.append("The claims are about the built-in losses alone.")
    told = "".join(f"<p class='note'>{escape(line)}</p>" for line in lines)
    return f"<details><summary>What was run, with which settings</summary>{told}</details>"


def page(title: str, sections: Sequence[str]) -> str:
    """Return a whole page of sections in HTML."""
    template = files("mlpspec.report").joinpath("report.html").read_text(encoding="utf-8")
    title = escape(f"{title} \u2013 mlpspec")
    return filled(template, title=title, body="\n".join(sections))


def filled(template: str, **parts: str) -> str:
    """Return a template with its parts in their places, whatever they hold.

    Examples
    --------
    >>> filled("<h1>{{title}}</h1>{{body}}", title="{{body}}", body="text")
    '<h1>{{body}}</h1>text'
    """
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def draw_all(
    tables: Mapping[str, Table],
    folder: Path,
    formats: Sequence[str] = ("svg", "png"),
    below: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Draw figures into ``folder``, with their numbers; return a page's section of each.

    Parameters
    ----------
    tables : mapping of str to Table
        The numbers by the figures' names.
    folder : path
        Made if it is not there.
    formats : sequence of str
        Of the files: ``svg``, ``png`` or ``pdf``.
    below : mapping of str to str, optional
        What stands below a figure on the page, in HTML.
    """
    from mlpspec.report import figures

    folder.mkdir(exist_ok=True)
    sections = {}
    for name, table in tables.items():
        figure = figures.figure_of(name)
        write_csv(folder / f"{name}.csv", table)
        canvas = figures.draw(name, table)
        columns = figures.columns(name, canvas)  # before it is rendered
        drawn = {suffix: figures.render(name, canvas, suffix) for suffix in {*formats, "svg"}}
        for suffix in formats:
            with replacing(folder / f"{name}.{suffix}", binary=True) as file:
                file.write(drawn[suffix])
        if figure.animate:
            figure.animate(table, str(folder / f"{name}.gif"))
        caption = figures.caption(name, table)
        label = f"<svg role='img' aria-label='{escape(caption)}' "
        svg = label + drawn["svg"].decode().partition("<svg ")[2]
        sections[name] = section(
            name,
            f"\n<figure><div class='wide'>{svg}</div><div class='narrow' aria-hidden='true'>"
            f"{''.join(columns)}</div><figcaption>{escape(caption)}</figcaption></figure>"
            f"{(below or {}).get(name, '')}",
            figure.title,
        )
    return sections


def section(name: str, content: str, title: str = "") -> str:
    """Return a section of a page, headed by its title or name, to which ``#name`` leads.

    Examples
    --------
    >>> section("seeds", "<p>Ten.</p>")
    "<section><h2 id='seeds'>Seeds</h2><p>Ten.</p></section>"
    """
    title = title or name.capitalize().replace("-", " ")
    return f"<section><h2 id='{name}'>{title}</h2>{content}</section>"


def html_table(columns: Table, *, tall: bool = True, sortable: bool = True) -> str:
    """Return a table that scrolls: its columns by their headings, which sort it if ``sortable``.

    Examples
    --------
    >>> html_table({"N": np.array([3])}, sortable=False).partition("</thead>")[2]
    "<tbody><tr><td class='number'>3</td></tr></tbody></table></div>"
    """
    head = []
    for title, values in columns.items():
        text = f"<button type='button'>{title}</button>" if sortable else title
        head.append(f"<th scope='col'{' class=number' * (values.dtype.kind in 'fi')}>{text}</th>")
    body = ""
    for row in zip(*columns.values(), strict=True):
        body += f"<tr>{''.join(table_cell(value) for value in row)}</tr>"
    return (
        f"<div class='scroll{' tall' * tall}'><table{' class=sortable' * sortable}><thead>"
        f"<tr>{''.join(head)}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _verdict_section(found: Sequence[Verdict]) -> str:
    from mlpspec.report.figures.verdicts import CAPTION

    return section(
        "verdicts",
        f"{verdicts.content(found)}<details class='note'><summary>How the claims are judged"
        f"</summary><p>{escape(CAPTION)} The effect is the median paired difference of the least "
        "favourable demand, positive where it is for the claim, with its exact interval. For the "
        "calibrated column: <code>mlpspec run confirm --out DIR/confirm</code>, then <code>mlpspec "
        "report DIR</code>.</p></details>",
    )


SHOWN = ("reconstruction_error", "usage_ratio", "expelled_fraction", "fit_fvu")
"""Measurements of which the page has the comparisons."""

SHOWN_OF = {
    "monosemanticity": ("monosemanticity_median", "monosemantic_fraction", "silent_fraction")
}
"""What it has beside them, by study."""


def _comparison_section(table: Table, study: str) -> str:
    if not table:
        return ""
    chosen = np.flatnonzero(
        np.isin(table["measurement"], (*SHOWN_OF.get(study, ()), *SHOWN))
        & ~((table["family"] == "coverage") & (table["control"] == "baseline"))
    )
    skipped = ("confidence", "family", "nonzero")
    names = [name for name in table if name not in skipped]
    columns = in_words({readable(name): table[name][chosen[:2000]] for name in names})
    cut = f" The first 2,000 of {len(chosen)} rows." if len(chosen) > 2000 else ""
    return section(
        "comparisons",
        "<p class='note'>Paired over seeds: treatment less control, in as many pairs as are known, "
        "with the exact interval of the median, the share of seeds in which the treatment is "
        "lower, and the p-value of the sign-flip test, plain and after Holm over the family. Can "
        "reach: no where even differences of one sign in all seeds would not be significant after "
        "Holm. Select a heading to sort. All "
        f"measurements are in <code>comparisons.csv</code>.{cut}</p>{html_table(columns)}",
    )


def in_words(columns: Table) -> Table:
    """Return columns with names in words, as figures have them: a narrow column can break them."""
    told = dict(columns)
    for title, names in columns.items():
        if names.dtype.kind == "U":
            told[title] = np.array([readable(name) for name in names], str)
    return told


def table_cell(value: Any) -> str:
    """Return a cell of a table in HTML: numbers to three digits, a dash for NaN.

    Examples
    --------
    >>> table_cell(0.12345)
    "<td class='number'>0.123</td>"
    """
    if isinstance(value, float | np.floating):
        return f"<td class='number'>{three_digits(float(value)).replace('nan', DASH)}</td>"
    if isinstance(value, int | np.integer):
        return f"<td class='number'>{value}</td>"
    return f"<td>{escape(value)}</td>"


def _trouble_section(results: Results) -> str:
    rows: list[dict[str, str]] = []
    for key, status in results.status.items():
        if status != "ok" and len(rows) < 500:
            run = results.runs[key]
            reason = results.errors.get(key, "left the finite numbers").strip().splitlines()[-1]
            place = f"{run.label}, N = {run.n_samples}, seed {run.seed}"
            rows.append({"key": key, "run": place, "status": status, "reason": reason})
    found = html_table(as_table(rows), sortable=False) if rows else "<p>None.</p>"
    return section("trouble", found, "Failed or diverged runs")


def _provenance_section(sessions: list[dict[str, Any]]) -> str:
    long = ("study", "packages", "git_diff")  # they are in provenance.json
    shown = [
        {name: value for name, value in session.items() if name not in long}
        for session in sessions[-20:]
    ]
    return section(
        "provenance",
        f"<details><summary>Trained in {len(sessions)} session{'s' * (len(sessions) > 1)}"
        f"</summary><pre>"
        f"{escape(json.dumps(shown, indent=1))}</pre></details>",
    )


def citation_section() -> str:
    """Return the section that says what to cite."""
    text = (
        "<p>The study: Alba &amp; L\u00f3pez-Rubio, <cite>From Latent Space to Training Data: "
        "Explainable Specialization in Minimal MLPs</cite>, arXiv:2605.25939 (2026). This toolkit: "
        f"The mlpspec developers, <cite>mlpspec</cite>, version {__version__}; see its "
        "CITATION.cff.</p>"
    )
    return section("cite", text, "How to cite")
