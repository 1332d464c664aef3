"""The exceptions of the package."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from numbers import Integral, Real
from typing import Any


class InputError(ValueError):
    """Input that cannot be used; its message is one line: the value, the limit and the mend."""


class LossError(InputError):
    """A structural loss that breaks its contract; its message has a line for each fault."""


class LossWarning(UserWarning):
    """Something that the formula of a loss depends on and that its digest does not cover."""


class WorkerLostError(RuntimeError):
    """No worker lives long enough to train anything; what was finished before is stored."""


KILLED = "its worker was killed, again when it trained alone, perhaps for want of memory"
"""What a failed run says whose worker did not live to say anything."""


def one_line(error: BaseException) -> str:
    r"""Return the type of an exception and its message, in one line, whatever it is.

    Examples
    --------
    >>> one_line(ValueError("two\nlines"))
    'ValueError: two lines'
    """
    try:
        text = " ".join(str(error).split())
    except BaseException as fault:  # a user's exception may do anything when it is asked
        text = f"(its message cannot be had: {type(fault).__name__})"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def is_interrupt(error: BaseException) -> bool:
    """Return whether an exception is Ctrl-C, rather than one of a user's code.

    Examples
    --------
    >>> is_interrupt(KeyboardInterrupt()), is_interrupt(SystemExit())
    (True, False)
    """
    return type(error) is KeyboardInterrupt


LIMITS = {
    "least": ("at least", operator.ge),
    "above": ("above", operator.gt),
    "most": ("at most", operator.le),
    "below": ("below", operator.lt),
}
"""What a number may be held to, in words and as an operator."""


def expect_number(said: str, value: Any, *, whole: bool = False, **limits: float) -> None:
    """Raise `InputError` unless ``value`` is a finite number within limits.

    Parameters
    ----------
    said : str
        What the message begins with: what has this value.
    value : object
    whole : bool
        Whether it must be a whole number.
    **limits : float
        By the names in `LIMITS`, as they are to be said; what is below infinity is called finite.

    Examples
    --------
    >>> expect_number("share is 1.5", 1.5, above=0.0, most=1.0)
    Traceback (most recent call last):
    mlpspec.errors.InputError: share is 1.5; it must be above 0 and at most 1
    """
    kind: Any = Integral if whole else Real
    number = isinstance(value, kind) and abs(value) < math.inf
    if number and all(LIMITS[name][1](value, limit) for name, limit in limits.items()):
        return
    words = [f"{LIMITS[name][0]} {limit:g}" for name, limit in limits.items()]
    words = [word.replace("e+0", "e").replace("below inf", "finite") for word in words]  # 1e6
    if whole and not number:
        words = ["a whole number"]
    elif not whole and len(words) == 1:
        words = ["finite", *words]
    raise InputError(f"{said}; it must be {' and '.join(words)}")


MOST_NAMES = 40
"""Names that fit a line that says which are known."""


def unknown(kind: str, name: object, known: Iterable[str]) -> InputError:
    """Return the error for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    close = get_close_matches(str(name), names, n=1)
    some = ", ".join(names[:MOST_NAMES]) + (", ..." if len(names) > MOST_NAMES else "")
    hint = f"did you mean {close[0]!r}?" if close else f"known: {some}"
    return InputError(f"unknown {kind} {str(name)!r}; {hint}")


def import_extra(module: str, extra: str, why: str) -> Any:
    """Return a module that an extra of this package installs.

    Raises
    ------
    InputError
        It is not installed; the message begins with ``why`` it is needed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise InputError(f"{why}; install mlpspec with its extra, mlpspec[{extra}]") from None
