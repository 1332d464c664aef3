"""Which files modules read while they are loaded: what they hold is part of a loss's formula.

This is loaded with the package, before losses are, and needs next to nothing itself.
"""

from __future__ import annotations

import os
import sys
from types import FrameType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OPENED: dict[str, dict[str, str]] = {}
"""By the file of a module: the files that were read while it was loaded, and their digests."""

_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/share/")

_state: dict[str, Any] = {"busy": False, "watching": False}


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
    if "places" not in _state:
        import sysconfig

        names = ("stdlib", "platstdlib", "purelib", "platlib")
        places = [*map(sysconfig.get_path, names), os.path.dirname(__file__)]
        _state["places"] = tuple({os.path.realpath(place) + os.sep for place in places})
    return os.path.realpath(file).startswith(_state["places"])


def watch() -> None:
    """Note from here on, in `OPENED`, which files modules of no library read while they load."""
    if not _state["watching"]:
        _state["watching"] = True
        sys.addaudithook(_heard)


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or _state["busy"]:
        return
    path, _, flags = arguments
    writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
    if writes or not isinstance(path, str | bytes | os.PathLike):
        return
    _state["busy"] = True  # to look into a file opens it
    try:
        module = _loading(sys._getframe(1))
        if module is not None:
            _note(os.path.realpath(os.fsdecode(path)), module)
    except (OSError, ValueError):
        return  # whoever opens the file will hear of it
    finally:
        _state["busy"] = False


def _loading(frame: FrameType | None) -> str | None:
    """Return the file of the innermost module that is being loaded, unless it is a library's."""
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            name = frame.f_code.co_filename
            return None if is_library(name) else name
        frame = frame.f_back
    return None


def _note(path: str, module: str) -> None:
    code = path.endswith((".py", ".pyc", ".pyd", ".so"))
    if code or path.startswith(_SYSTEM) or is_library(path) or not os.path.isfile(path):
        return
    import hashlib

    with open(path, "rb") as file:
        OPENED.setdefault(module, {})[path] = hashlib.file_digest(file, "sha256").hexdigest()
