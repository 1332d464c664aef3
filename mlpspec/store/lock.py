"""Locks, so that one command alone writes into a results directory."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows has no flock; SQLite's own locks still keep the store whole.
    fcntl = None  # type: ignore[assignment]

LOCK_NAME = ".lock"
"""Of the file that a command locks while it writes into a results directory."""


def try_lock(file: IO[Any], *, shared: bool = False) -> bool:
    """Lock an open file without waiting; return whether nobody else holds it.

    The lock goes with the file, or with the process however it ends.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file, open(file.name) as same:
    ...     try_lock(file), try_lock(same)
    (True, False)
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def in_use(directory: Path) -> bool:
    """Return whether a command writes into the directory, whose journal is then in use too.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     in_use(Path(folder))
    False
    """
    try:
        with (directory / LOCK_NAME).open() as file:
            return not try_lock(file, shared=True)
    except FileNotFoundError:
        return False
    except OSError:
        return True
