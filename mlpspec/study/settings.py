"""What a setting of a run is: its default, meaning, type, limits and what it affects.

A setting is declared once, as a field of `Run` (`declare`). Whatever treats settings differently
asks what they affect and keeps no list of names: which runs share a batch, which share data and
start, what is in a key, and in what compared runs are equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlpspec.data.datasets import FILE, file_parts
from mlpspec.data.held import DESCRIBED, without_place
from mlpspec.data.tabular import other_line_ends
from mlpspec.errors import InputError, unknown

AFFECTED = ("data", "start", "objective", "training", "compression", "recording")
"""What a setting may affect: the inputs and targets; the parameters before the first step; the
function that is minimised; how it is minimised, and in which arithmetic; what is then done to the
trained network; what is recorded."""


def declare(default: Any, help: str, affects: str, **limits: Any) -> Any:
    """Return a field of `Run`; ``affects`` is words of `AFFECTED`, the rest as in `Setting`.

    Examples
    --------
    >>> declare(3000, "updates", "training", least=0).metadata["affects"]
    ('training',)
    """
    metadata = {"help": help, "affects": tuple(affects.split()), **limits}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Setting:
    """A field of `Run`: its default, meaning, type and limits.

    Examples
    --------
    >>> setting = Setting("steps", 3000, "updates", ("training",), least=0)
    >>> setting.cast("500"), setting.changes_result
    (500, True)
    """

    name: str
    default: Any
    help: str
    affects: tuple[str, ...]
    """Which of `AFFECTED`."""

    least: float | None = None
    above: float | None = None
    below: float | None = None
    names: tuple[str, ...] | None = None
    """Of a text: what it may be, or how it may begin, for messages and lists."""

    number: type[int] | type[float] = int
    """Of a setting that may be None."""

    later: bool = False
    """Not of the first version: at its default it stays out of keys, so that they hold."""

    canonical: Callable[[Any], Any] | None = None
    """Returns a value in its one form, or raises `InputError`; in place of the checks of `cast`."""

    @property
    def changes_result(self) -> bool:
        """Whether trained networks depend on it: not if it affects the recording only."""
        return self.affects != ("recording",)

    def meaning(self, value: Any) -> Any:
        """Return what keys and tables hold of ``value``: of a file or network its content alone."""
        return without_place(value) if self.name in DESCRIBED else value

    def counts(self, value: Any) -> bool:
        """Return whether ``value`` belongs in a key."""
        return self.changes_result and not (self.later and value == self.default)

    def cast(self, value: Any) -> Any:
        """Return ``value`` as the field's type.

        Raises
        ------
        InputError
            It is of another type, outside the limits, or an unknown name.
        """
        if self.canonical is not None:
            return self.canonical(value)
        if self.names is None and isinstance(value, np.ndarray) and value.ndim:
            raise InputError(f"{self.name} is {value!r}; it must be a single number")
        if self.names is not None:
            if not isinstance(value, str) or value not in self.names:
                raise unknown(self.name, value, self.names)
            return str(value)
        if self.default is None and value in (None, "None", "none"):
            return None
        wanted = float if isinstance(self.default, float) else self.number
        try:
            number = wanted(value)
            exact = isinstance(value, str) or number == value
            if isinstance(value, bool | np.bool_) or not (exact and math.isfinite(number)):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            word = "finite number" if wanted is float else "whole number"
            raise InputError(f"{self.name} is {value!r}; it must be a {word}") from None
        if self.least is not None and number < self.least:
            raise InputError(f"{self.name} is {value}; it must be at least {self.least:g}")
        if self.above is not None and number <= self.above:
            raise InputError(f"{self.name} is {value}; it must be above {self.above:g}")
        if self.below is not None and number >= self.below:
            raise InputError(f"{self.name} is {value}; it must be below {self.below:g}")
        if wanted is int and number >= 2**63:
            raise InputError(f"{self.name} is {value}; it must be below 2**63")
        return number + 0  # -0.0 is 0.0


def file_change(dataset: str | None, before: str | None) -> str:
    """Return what to say if ``dataset`` is the file that ``before`` means but for its line ends.

    Else "". ``before`` is as `Setting.meaning` returns it, without a path.

    Examples
    --------
    >>> file_change("grid", "uniform")
    ''
    """
    if dataset is None or before is None or not dataset.startswith(FILE):
        return ""
    if before in (dataset, without_place(dataset)):
        return ""
    path = file_parts(dataset)[0]
    change = other_line_ends(path, before.rpartition("@")[2])
    return f"; {path} has changed{change}" if change else ""
