"""The exceptions of the package."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Input that cannot be used; its message is one line: the value, the limit and the mend."""


class LossError(InputError):
    """A structural loss that breaks its contract; its message has a line for each fault."""


class WorkerLostError(RuntimeError):
    """No worker lives long enough to train anything; what was finished before is stored."""


KILLED = "its worker was killed, again when it trained alone, perhaps for want of memory"
"""What a failed run says whose worker did not live to say anything."""


def unknown(kind: str, name: object, known: Iterable[str]) -> InputError:
    """Return the error for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    close = get_close_matches(str(name), names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
    return InputError(f"unknown {kind} {str(name)!r}; {hint}")
