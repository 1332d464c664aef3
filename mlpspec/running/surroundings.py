"""What a process is started in, where it is not what libraries take for granted."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


def open_standard_streams() -> None:
    """Open those of the standard streams that whoever started this process has closed.

    Otherwise the next files would get their numbers, the store's among them, and whatever is
    printed by a library, or by a worker, would be written there.

    Examples
    --------
    >>> open_standard_streams()
    >>> sys.stdout is None
    False
    """
    while True:
        number = os.open(os.devnull, os.O_RDWR)
        if number > 2:
            os.close(number)
            break
        os.set_inheritable(number, True)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115


@contextlib.contextmanager
def safe_path() -> Iterator[None]:
    """Start processes of Python that import nothing from the working directory by themselves.

    They would look there first, and a script of the user's that is called like a module, such as
    ``random.py``, would be run in its place. What this process imports from, they do too.

    Examples
    --------
    >>> with safe_path():
    ...     os.environ["PYTHONSAFEPATH"]
    '1'
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PYTHONSAFEPATH", None)
        else:
            os.environ["PYTHONSAFEPATH"] = before
