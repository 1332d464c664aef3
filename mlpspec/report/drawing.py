"""Matplotlib as the figures need it: loaded, and with its own defaults, in any surroundings."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from mlpspec.errors import InputError

RC: Any = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.0,
    "svg.fonttype": "path",
    "figure.dpi": 150,
    # No text is read as mathematics: names of columns, losses and files may have a "$".
    "text.parse_math": False,
}
"""What differs from Matplotlib's defaults while a figure is drawn and written."""


def _load() -> Any:
    """Return Matplotlib, also where MPLBACKEND names a backend that is not installed.

    Figures need none, but its import fails then: a notebook's kernel sets it for its commands.
    """
    loaded, backend = "matplotlib" in sys.modules, os.environ.pop("MPLBACKEND", None)
    try:
        matplotlib = import_module("matplotlib")
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InputError(f"Matplotlib cannot be loaded: {reason}; mend its matplotlibrc") from None
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend and not loaded:
        with suppress(ValueError):  # for others who draw in this process, as its import does
            matplotlib.rcParams["backend"] = backend
    return matplotlib


mpl = _load()


@contextmanager
def plain(**more: Any) -> Iterator[None]:
    """Set Matplotlib's defaults and `RC`, whatever a style or a matplotlibrc has set, for a while.

    Examples
    --------
    >>> before = mpl.rcParams["text.usetex"]
    >>> mpl.rcParams["text.usetex"] = True
    >>> with plain():
    ...     mpl.rcParams["text.usetex"]
    False
    >>> mpl.rcParams["text.usetex"]
    True
    >>> mpl.rcParams["text.usetex"] = before
    """
    defaults = {name: mpl.rcParamsDefault[name] for name in mpl.rcParamsDefault}
    del defaults["backend"]  # nothing here uses it, and it would be resolved
    with mpl.rc_context({**defaults, **RC, **more}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # names in other scripts
        yield


@contextmanager
def as_it_is() -> Iterator[None]:
    """Keep the style that is set, for a while, but for what names of losses and files need.

    Examples
    --------
    >>> with as_it_is():
    ...     mpl.rcParams["text.parse_math"]
    False
    """
    with mpl.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # as in `plain`
        yield
