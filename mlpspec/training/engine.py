"""Which engine trains: the textbook one in plain NumPy, or the compiled one.

Both compute the same mathematics, but not the same bits, so that runs that are compared with each
other should share one. Whoever starts a study chooses here, once, and tells its workers. A results
directory goes on with the engine of its last session; a new one takes the compiled engine where it
works. NumPy and numba are not imported before they are needed: the command line reads `ASKED`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mlpspec.errors import InputError, one_line

ENGINES = ("numpy", "compiled")

ASKED = ("auto", *ENGINES)
"""What may be asked for."""

PACKAGES = ("numba", "llvmlite")
"""The packages on whose versions the bits of the compiled engine depend."""


def choose(asked: str = "auto", last: str | None = None) -> str:
    """Return the engine that is to train, ``"numpy"`` or ``"compiled"``.

    Parameters
    ----------
    asked : str
        An engine, or ``"auto"``: the one of the last session, without one the compiled engine
        where it works.
    last : str, optional
        The engine of the last session of the results directory.

    Raises
    ------
    InputError
        There is no such engine, or the compiled one is needed and does not work here.

    Examples
    --------
    >>> choose("auto", last="numpy")
    'numpy'
    >>> choose("numpy", last="compiled")
    'numpy'
    """
    if asked not in ASKED:
        raise InputError(f"engine is {asked!r}; it must be auto, numpy or compiled")
    if asked == "auto" and os.environ.get("MLPSPEC_COMPILED") == "0":
        asked = "numpy"
    engine = last if asked == "auto" else asked
    if engine == "numpy":
        return engine
    reason = why_not_compiled()
    if engine is None:
        return "numpy" if reason else "compiled"
    if reason:
        last_one = ", and the last session used the compiled one" if asked == "auto" else ""
        raise InputError(
            f"engine is {asked}{last_one}, which does not work here: {reason}; give --engine "
            "numpy, or mend it: mlpspec[fast] installs numba"
        )
    return engine


def compilable(dtype: str, perturbed: bool) -> bool:
    """Return whether the compiled engine computes such runs, by any rule; NumPy does all the rest.

    Examples
    --------
    >>> compilable("float64", perturbed=False), compilable("float32", perturbed=False)
    (True, False)
    """
    return dtype == "float64" and not perturbed


def used_in(session: Mapping[str, Any]) -> str:
    """Return the engine of a session from its provenance, which old ones do not name.

    Examples
    --------
    >>> used_in({"engine": "compiled"}), used_in({"numba": "0.61.0"}), used_in({"numpy": "2.1.0"})
    ('compiled', 'compiled', 'numpy')
    """
    return str(session.get("engine") or ("compiled" if session.get("numba") else "numpy"))


def why_not_compiled() -> str | None:
    """Return why the compiled engine does not work in this process; None if it does.

    Examples
    --------
    >>> choose("auto") == ("numpy" if why_not_compiled() else "compiled")
    True
    """
    if os.environ.get("MLPSPEC_COMPILED") == "0":
        return "MLPSPEC_COMPILED is 0"
    try:
        release = version("numba")
    except PackageNotFoundError:
        return "numba is not installed"
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "NUMBA_DISABLE_JIT is set, so that numba compiles nothing"
    from mlpspec.training.compiled import cached_files

    try:
        if not cached_files():  # else it has worked here, and takes a while to import
            import_module("numba")
    except Exception as error:  # its own checks of what it needs raise anything
        return f"numba {release} cannot be imported ({one_line(error)[:200]})"
    return None


def versions(engine: str) -> dict[str, str | None]:
    """Return the versions of `PACKAGES`; None for those that the engine does not use.

    Examples
    --------
    >>> versions("numpy")
    {'numba': None, 'llvmlite': None}
    """
    return {name: _version(name) if engine == "compiled" else None for name in PACKAGES}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def prepare() -> None:
    """Compile the kernel, or load it.

    Raises
    ------
    InputError
        It cannot be compiled here.
    """
    from mlpspec.training.compiled import load

    try:
        load()
    except Exception as error:
        message = " ".join(str(error).split())[:200]
        raise InputError(
            f"numba {_version('numba')} cannot compile the kernel here ({type(error).__name__}: "
            f"{message}); mend it, or give --engine numpy"
        ) from error
