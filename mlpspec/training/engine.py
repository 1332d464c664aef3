"""Which engine trains: plain NumPy, or the compiled kernel."""

from __future__ import annotations

import os
from functools import cache

from mlpspec.errors import InputError

ENGINES = ("numpy", "compiled")


@cache
def why_not_compiled() -> str | None:
    """Return why the compiled engine cannot be used here, None if it can."""
    if os.environ.get("MLPSPEC_COMPILED") == "0":
        return "MLPSPEC_COMPILED is 0"
    try:
        import numba  # noqa: F401
    except ImportError as error:
        return str(error)
    return None


def resolve(engine: str) -> str:
    if engine == "auto":
        return "numpy" if why_not_compiled() else "compiled"
    if engine not in ENGINES:
        raise InputError(engine)
    return engine
