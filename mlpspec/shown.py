"""Numbers, names and how runs ended as readers see them, and what notebooks show, in HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


def counted(statuses: Iterable[str]) -> str:
    """Return how many runs ended in which way.

    Examples
    --------
    >>> counted(["ok", "failed", "ok"])
    '2 ok, 0 diverged, 1 failed'
    """
    counts = Counter(statuses)
    return ", ".join(f"{counts[status]} {status}" for status in ("ok", "diverged", "failed"))


def three_digits(value: float) -> str:
    """Return a number to three digits, below a million without an exponent.

    Examples
    --------
    >>> three_digits(0.12345), three_digits(999.6), three_digits(-12345.6)
    ('0.123', '1000', '-12346')
    """
    return f"{value:.0f}" if 999.5 <= abs(value) < 1e6 else f"{value:.3g}"


def readable(name: str) -> str:
    """Return a label of losses, or another name, in words.

    Examples
    --------
    >>> readable("coverage+overlap"), readable("fit_fvu")
    ('coverage + overlap', 'fit fvu')
    """
    return name.replace("+", " + ").replace("_", " ")


def html_of(title: str, lines: Iterable[str], head: Sequence[str] = (), rows: Any = ()) -> str:
    """Return a heading, lines of text and a table of rows of cells, all escaped.

    Examples
    --------
    >>> html_of("Run", ["a < b"])
    '<div><b>Run</b><br>a &lt; b</div>'
    >>> html_of("Runs", [], ["N"], [[3]]).partition("<table>")[2]
    '<tr><th>N</th></tr><tr><td>3</td></tr></table></div>'
    """
    text = "<br>".join([f"<b>{escape(title)}</b>", *map(escape, lines)])
    cells = [_row("th", head), *(_row("td", row) for row in rows)] if head else []
    table = f"<table>{''.join(cells)}</table>" if cells else ""
    return f"<div>{text}{table}</div>"


def _row(tag: str, cells: Iterable[Any]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(_cell(cell))}</{tag}>' for cell in cells)}</tr>"


def _cell(value: Any) -> str:
    return three_digits(value) if isinstance(value, float) else str(value)
