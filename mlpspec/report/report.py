"""The report of a results directory: tables, figures, and one page that holds them all.

The page needs no network, no other file and no script to be read; a script sorts its table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from mlpspec import __version__
from mlpspec.analysis.analysis import Analysis
from mlpspec.store.results import Table, replacing, write_csv
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
        The directory, or one inside that belongs to it, cannot be read.
    """

    def __init__(self, directory: str | Path) -> None:
        self.analysis = Analysis(directory)
        self.directory = self.analysis.directory

    def write(self, formats: tuple[str, ...] = ("svg", "png")) -> Path:
        """Write all tables, figures and ``report.html``; return the page's path."""
        from mlpspec.report import figures

        self.analysis.results.write_tables()
        self.analysis.write_tables()
        sections = draw_all(figures.tables(self.analysis), self.directory / "figures", formats)
        path = self.directory / "report.html"
        with replacing(path) as file:
            file.write(self._page(sections))
        return path

    def _page(self, figures: Mapping[str, str]) -> str:
        results = self.analysis.results
        study = results.study
        status = list(results.status.values())
        counts = ", ".join(
            f"{status.count(name)} {name}" for name in ("ok", "diverged", "failed") if status
        )
        sections = [
            f"<h1>{escape(study.name)}</h1>",
            f"<p class='lead'>{escape(study.question)}</p>",
            f"<p>{len(status)} runs: {counts}. Definitions are this project's reconstruction of "
            "the study arXiv:2605.25939, whose code is unreleased; see the README of mlpspec.</p>",
            _described(study),
        ]
        if "verdicts" in figures:
            sections.append(_verdict_section(self.analysis.claims_table()))
        sections += [section for name, section in figures.items() if name != "verdicts"]
        sections.append(_comparison_section(self.analysis.comparisons_table()))
        sections.append(_trouble_section(results))
        sections.append(_provenance_section(results.sessions))
        sections.append(citation_section())
        return page(study.name, sections)


def _described(study: Study) -> str:
    """Say what varies, which settings are not the defaults, and what losses of one's own are."""
    varied = []
    for name, values in study.axes.items():
        words = ["+".join(v) or "baseline" for v in values] if name == "losses" else values
        shown = ", ".join(map(str, words)) if len(words) <= 16 else f"{len(words)} values"
        varied.append(f"{name} ({shown})")
    lines = [f"Varied: {'; '.join(varied)}."]
    fixed = ", ".join(f"{name}={SETTINGS[name].meaning(v)}" for name, v in study.settings.items())
    lines.append(f"Other settings: {fixed or 'the defaults'}.")
    lines += [f"Loss {name}: {what}." for name, what in study.extensions.items()]
    if set(study.extensions):
        lines.append("The nine claims are about the built-in losses alone.")
    return "".join(f"<p class='note'>{escape(line)}</p>" for line in lines)


def page(title: str, sections: Sequence[str]) -> str:
    """Return a whole page of sections in HTML."""
    template = files("mlpspec.report").joinpath("report.html").read_text(encoding="utf-8")
    return template.replace("{{title}}", escape(f"{title} \u2013 mlpspec")).replace(
        "{{body}}", "\n".join(sections)
    )


def draw_all(
    tables: Mapping[str, Table], folder: Path, formats: Sequence[str] = ("svg", "png")
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
    """
    from mlpspec.report import figures

    folder.mkdir(exist_ok=True)
    sections = {}
    for name, table in tables.items():
        figure = figures.figure_of(name)
        write_csv(folder / f"{name}.csv", table)
        canvas = figures.draw(name, table)
        drawn = {suffix: figures.render(name, canvas, suffix) for suffix in {*formats, "svg"}}
        for suffix in formats:
            with replacing(folder / f"{name}.{suffix}", binary=True) as file:
                file.write(drawn[suffix])
        if figure.animate:
            figure.animate(table, str(folder / f"{name}.gif"))
        caption = figures.caption(name, table)
        sections[name] = figure_section(figure.title or name, drawn["svg"], caption)
    return sections


def figure_section(name: str, svg: bytes, caption: str) -> str:
    """Return a section with a figure, headed by its name."""
    text = svg.decode()
    drawing = text[text.index("<svg") :]
    label = f"<svg role='img' aria-label='{escape(caption, quote=True)}' "
    return (
        f"<section><h2 id='{name}'>{name.capitalize().replace('-', ' ')}</h2>\n"
        "<figure><div class='scroll'>"
        f"{drawing.replace('<svg ', label, 1)}</div>"
        f"<figcaption>{escape(caption)}</figcaption></figure></section>"
    )


def _verdict_section(claims: Table) -> str:
    from mlpspec.report import figures

    caption = figures.caption("verdicts", claims)
    bases = list(dict.fromkeys(claims["basis"].tolist()))
    head = "".join(f"<th scope='col'>{escape(basis)}</th>" for basis in bases)
    rows = []
    for claim in dict.fromkeys(claims["claim"].tolist()):
        judged = []
        for basis in bases:
            (row,) = np.flatnonzero((claims["claim"] == claim) & (claims["basis"] == basis))
            verdict = claims["verdict"][row]
            details = [str(claims["reading"][row])]
            if np.isfinite(claims["effect"][row]):
                details.append(
                    f"effect {claims['effect'][row]:.3g} "
                    f"[{claims['low'][row]:.3g}, {claims['high'][row]:.3g}]"
                )
            if np.isfinite(claims["p_holm"][row]):
                details.append(f"p = {claims['p_holm'][row]:.2g} (Holm)")
            if np.isfinite(claims["repeat"][row]):
                details.append(f"repeats with probability {claims['repeat'][row]:.2f}")
            judged.append(
                f"<td><span class='verdict {verdict}'>{verdict}</span>"
                f"<small>{escape('; '.join(details))}</small></td>"
            )
        text = claims["text"][claims["claim"] == claim][0]
        rows.append(
            f"<tr><th scope='row'>{claim}<small>{escape(text)}</small></th>{''.join(judged)}</tr>"
        )
    return (
        "<section><h2 id='verdicts'>Verdicts</h2><div class='scroll'><table>"
        f"<thead><tr><th scope='col'>claim</th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f"<p class='note'>{escape(caption)} The effect is the median paired "
        "difference of the least favourable demand, positive where it is for the claim, with its "
        "exact interval. For the calibrated column: <code>mlpspec run confirm --out "
        "DIR/confirm</code>, then <code>mlpspec report DIR</code>.</p></section>"
    )


SHOWN = ("reconstruction_error", "usage_ratio", "expelled_fraction", "fit_fvu")


def _comparison_section(table: Table) -> str:
    if not table:
        return ""
    chosen = np.flatnonzero(
        np.isin(table["measurement"], SHOWN)
        & ~((table["family"] == "coverage") & (table["control"] == "baseline"))
    )
    names = [n for n in table if n not in ("confidence", "least_p", "family", "nonzero", "pairs")]
    head = "".join(
        f"<th scope='col'><button type='button'>{escape(name.replace('_', ' '))}</button></th>"
        for name in names
    )
    rows = "".join(
        "<tr>" + "".join(table_cell(table[name][row]) for name in names) + "</tr>"
        for row in chosen[:2000]
    )
    cut = f" The first 2,000 of {len(chosen)} rows." if len(chosen) > 2000 else ""
    return (
        "<section><h2 id='comparisons'>Comparisons</h2>"
        "<p class='note'>Paired over seeds: treatment less control, with the exact interval of the "
        "median, the share of seeds in which the treatment is lower, and the p-value of the "
        "sign-flip test, plain and after Holm over the family. "
        f"Select a heading to sort. All measurements are in <code>comparisons.csv</code>.{cut}"
        f"</p><div class='scroll tall'><table class='sortable'><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def table_cell(value: Any) -> str:
    """Return a cell of a table in HTML: numbers to three digits, a dash for NaN.

    Examples
    --------
    >>> table_cell(0.12345)
    "<td class='number'>0.123</td>"
    """
    if isinstance(value, float | np.floating):
        text = f"{value:.0f}" if 1e3 <= abs(float(value)) < 1e6 else f"{value:.3g}"
        return f"<td class='number'>{text.replace('nan', DASH)}</td>"
    if isinstance(value, int | np.integer):
        return f"<td class='number'>{value}</td>"
    return f"<td>{escape(str(value).replace('_', ' '))}</td>"


def _trouble_section(results: Any) -> str:
    rows = []
    for key, status in results.status.items():
        if status != "ok":
            run = results.runs[key]
            reason = results.errors.get(key, "left the finite numbers").strip().splitlines()[-1]
            place = f"{run.label}, N = {run.n_samples}, seed {run.seed}"
            rows.append(
                f"<tr><td><code>{key}</code></td><td>{escape(place)}</td>"
                f"<td>{status}</td><td>{escape(reason)}</td></tr>"
            )
    if not rows:
        return "<section><h2 id='trouble'>Failed or diverged runs</h2><p>None.</p></section>"
    return (
        "<section><h2 id='trouble'>Failed or diverged runs</h2><div class='scroll tall'><table>"
        "<thead><tr><th scope='col'>key</th><th scope='col'>run</th><th scope='col'>status</th>"
        f"<th scope='col'>reason</th></tr></thead><tbody>{''.join(rows[:500])}</tbody></table>"
        "</div></section>"
    )


def _provenance_section(sessions: list[dict[str, Any]]) -> str:
    shown = [
        {name: value for name, value in session.items() if name != "study"}
        for session in sessions[-20:]
    ]
    return (
        "<section><h2 id='provenance'>Provenance</h2><details><summary>"
        f"{len(sessions)} sessions trained these runs</summary><pre>"
        f"{escape(json.dumps(shown, indent=1))}</pre></details></section>"
    )


def citation_section() -> str:
    """Return the section that says what to cite."""
    return (
        "<section><h2 id='cite'>How to cite</h2><p>The study: Alba &amp; L\u00f3pez-Rubio, "
        "<cite>From Latent Space to Training Data: Explainable Specialization in Minimal "
        "MLPs</cite>, arXiv:2605.25939 (2026). This toolkit: The mlpspec developers, "
        f"<cite>mlpspec</cite>, version {__version__}; see its CITATION.cff.</p></section>"
    )
