"""Which files modules read while they are loaded: what they hold is part of a loss's formula.

This is loaded with the package, before losses are, and needs next to nothing itself.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OPENED: dict[str, dict[str, str]] = {}
"""By the file of a module: the files that were read while it was loaded, and their digests."""

_LIBRARIES = tuple(
    os.path.realpath(os.path.dirname(file)) + os.sep for file in (os.__file__, __file__)
)
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/share/")

_hashed: list[str] = []
"""The file whose digest is being made: to read it opens it again."""


def is_library(file: str) -> bool:
    """Return whether a file belongs to Python, to what is installed, or to this package.

    Examples
    --------
    >>> is_library(os.__file__), is_library("lab/formulas.py")
    (True, False)
    """
    parts = file.replace(os.sep, "/").split("/")
    if file.startswith("<frozen ") or "site-packages" in parts or "dist-packages" in parts:
        return True
    return os.path.realpath(file).startswith(_LIBRARIES)


def watch() -> None:
    """Note from here on, in `OPENED`, which files modules of no library read while they load."""
    sys.addaudithook(_heard)


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or _hashed or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    if isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_CREAT):
        return
    frame = sys._getframe(1)
    shown = frame.f_globals.get("__name__") in ("tokenize", "linecache")  # a line of a message
    if shown or frame.f_code.co_filename.startswith("<frozen importlib"):
        return
    while frame.f_code.co_name != "<module>":  # of the innermost module that is being loaded
        if frame.f_back is None:
            return
        frame = frame.f_back
    module, path = frame.f_code.co_filename, os.path.realpath(os.fsdecode(arguments[0]))
    compiled = path.endswith((".pyc", ".pyd", ".so"))
    if compiled or path.startswith(_SYSTEM) or is_library(module) or is_library(path):
        return
    import hashlib

    _hashed.append(path)
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        OPENED.setdefault(module, {})[path] = digest
    except OSError:
        return  # whoever opens the file will hear of it
    finally:
        _hashed.clear()
