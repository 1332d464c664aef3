"""Labels of logarithmic axes as text: in figures no text is read as a formula."""

from __future__ import annotations

import re
from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter, LogFormatterSciNotation

SUPERSCRIPTS = str.maketrans(
    "-\u22120123456789",
    "\u207b\u207b\u2070\u00b9\u00b2\u00b3" + "".join(map(chr, range(0x2074, 0x207A))),
)


class Powers(LogFormatterSciNotation):
    """Labels of a logarithmic axis as text, where Matplotlib's are formulas, which no text is here.

    Examples
    --------
    >>> Powers()(0.01), Powers()(200.0)
    ('10\u207b\u00b2', '2\u00d710\u00b2')
    """

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label of ``x``."""
        text = super().__call__(x, pos).removeprefix(r"$\mathdefault{").removesuffix("}$")
        text = text.replace(r"\times", "\u00d7")
        return re.sub(r"\^\{(.*?)\}", lambda found: found[1].translate(SUPERSCRIPTS), text)


def label_powers(axes: Iterable[Axes]) -> None:
    """Give all logarithmic axes `Powers` as labels, where they have labels at all."""
    for ax in axes:
        for axis in (ax.xaxis, ax.yaxis):
            if isinstance(axis.get_major_formatter(), LogFormatter):
                axis.set_major_formatter(Powers())
            if isinstance(axis.get_minor_formatter(), LogFormatter):
                axis.set_minor_formatter(Powers())
