"""Descriptions of the form ``NAME(argument=literal, ...)``: read, and written canonically."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlpspec.errors import InputError


class Call(NamedTuple):
    """A name and its arguments, which are literals.

    Examples
    --------
    >>> str(Call("grid", (), {"jitter": 0.5}))
    'grid(jitter=0.5)'
    """

    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}

    def __str__(self) -> str:
        given = [repr(value) for value in self.args]
        given += [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"{self.name}({','.join(given)})" if given else self.name


def parse_call(text: str) -> Call:
    """Return what ``NAME``, ``NAME()`` or ``NAME(1, b=-2.5, c='d')`` says; nothing is evaluated.

    The name is anything but empty, a path or a ``MODULE:CLASS`` too; arguments are Python
    literals, positional ones first.

    Raises
    ------
    ValueError
        The text has no name or unbalanced parentheses, or an argument is not a literal or occurs
        twice.

    Examples
    --------
    >>> parse_call("grid(0.5, name='a')")
    Call(name='grid', args=(0.5,), kwargs={'name': 'a'})
    """
    text = text.strip()
    if not text.endswith(")"):
        if not text or text.count("(") != text.count(")"):
            raise _unreadable(text)
        return Call(text)
    begin = text.find("(")
    while begin > 0:
        # A path may have parentheses itself: the arguments are what is a call all by itself.
        name, parsed = text[:begin].strip(), _parsed(f"_{text[begin:]}")
        if name and isinstance(parsed, ast.Call) and isinstance(parsed.func, ast.Name):
            kwargs: dict[str, Any] = {}
            for keyword in parsed.keywords:
                if keyword.arg is None:
                    raise _unreadable(text)
                if keyword.arg in kwargs:
                    raise InputError(f"{text!r} gives {keyword.arg} twice; keep one")
                kwargs[keyword.arg] = _literal(text, keyword.value)
            return Call(name, tuple(_literal(text, value) for value in parsed.args), kwargs)
        begin = text.find("(", begin + 1)
    raise _unreadable(text)


def _parsed(text: str) -> ast.expr | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser's advice on style
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _literal(text: str, value: ast.expr) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise InputError(
            f"{text!r} has the argument {ast.unparse(value)}, which is no literal; "
            "give a number, a quoted text, True, False or None"
        ) from None


def _unreadable(text: str) -> InputError:
    return InputError(f"{text!r} cannot be read; it must look like NAME or NAME(argument=1.5)")
