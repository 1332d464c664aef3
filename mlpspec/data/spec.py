"""Descriptions of the form ``NAME(argument=literal, ...)``: read, and written canonically."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from inspect import signature
from typing import Any, NamedTuple

from mlpspec.errors import InputError, unknown


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


def arguments(
    text: str, known: Mapping[str, Callable[..., Any]], what: str, *but: str
) -> tuple[str, dict[str, Any]]:
    """Return the name in a description, and all its numbers in order, defaults included.

    What may be given are the arguments of ``known[name]`` that have a number as their default, but
    for those that are settings by themselves.

    Raises
    ------
    ValueError
        ``what`` is the name of what is described, for the message: an unknown name, arguments
        that do not fit it, or a number that is not finite.

    Examples
    --------
    >>> def grid(rng, jitter=0.0, low=-1.0): ...
    >>> arguments("grid(0.5)", {"grid": grid}, "dataset")
    ('grid', {'jitter': 0.5, 'low': -1.0})
    """
    call = parse_call(text)
    if call.name not in known:
        raise unknown(what, call.name, known)
    default = numbers_of(known[call.name], *but)
    if len(call.args) > len(default):
        raise InputError(f"{text!r} has {len(call.args)} arguments; {call.name} has {len(default)}")
    given = dict(zip(default, call.args, strict=False))
    for name, value in call.kwargs.items():
        if not default:
            raise InputError(f"{text!r} gives {name}; {call.name} has no arguments")
        if name not in default:
            raise unknown(f"argument of {call.name}", name, default)
        if name in given:
            raise InputError(f"{text!r} gives {name} twice; keep one")
        given[name] = value
    for name, value in given.items():
        wanted = type(default[name])
        if type(value) not in (int, wanted) or not abs(value) <= sys.float_info.max:
            word = "whole" if wanted is int else "finite"
            raise InputError(f"{text!r} has {name}={value!r}; it must be a {word} number")
        given[name] = wanted(value) + 0  # -0.0 is 0.0
    return call.name, default | given


@cache
def numbers_of(function: Callable[..., Any], *but: str) -> dict[str, Any]:
    """Return the numbers that a description may give, all ``but`` some, with their defaults.

    Examples
    --------
    >>> def grid(rng, jitter=0.0, low=-1.0): ...
    >>> numbers_of(grid), numbers_of(grid, "low")
    ({'jitter': 0.0, 'low': -1.0}, {'jitter': 0.0})
    """
    default = {each.name: each.default for each in signature(function).parameters.values()}
    return {name: v for name, v in default.items() if type(v) in (int, float) and name not in but}


def build(text: str, known: Mapping[str, Callable[..., Any]], what: str, **more: float) -> Any:
    """Return what a description stands for: ``known[name]`` of its numbers, and of ``more``.

    Raises as `arguments` does.

    Examples
    --------
    >>> build("power(3.0)", {"power": lambda x=1.0, base=2.0: base**x}, "function", base=10.0)
    1000.0
    """
    name, numbers = arguments(text, known, what, *more)
    return known[name](**numbers, **more)


def canonical_form(
    known: Mapping[str, Callable[..., Any]], what: str, example: str, *but: str
) -> Callable[[Any], str]:
    """Return the function that gives a description in the one form that equal ones share.

    Arguments at their defaults are left out, the others come in order. It raises as `arguments`
    does, and what ``known[name]`` has to say of its numbers where it takes nothing else.

    Examples
    --------
    >>> def grid(jitter=0.0, low=-1.0): ...
    >>> canonical_form({"grid": grid}, "dataset", "grid(0.5)")("grid(low=-1,jitter=0.5)")
    'grid(jitter=0.5)'
    """

    @cache
    def form(text: str) -> str:
        name, given = arguments(text, known, what, *but)
        default = numbers_of(known[name], *but)
        parameters = signature(known[name]).parameters.values()
        if all(each.default is not each.empty for each in parameters):
            known[name](**given)
        return str(Call(name, (), {key: v for key, v in given.items() if v != default[key]}))

    def canonical(text: Any) -> str:
        if not isinstance(text, str):
            raise InputError(f"{what} is {text!r}; it must be a text like {example}")
        return form(text)

    return canonical


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
