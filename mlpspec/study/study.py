"""Describing studies: a name and a product of axes.

A results directory belongs to a study by its identity: the name, which settings vary, and the
fixed ones. Other values of `EXTENDABLE` settings, or of an axis, may be added to it.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from mlpspec.errors import InputError, unknown
from mlpspec.losses import BUILT_IN, StructuralLoss
from mlpspec.study.extensions import Definition, define
from mlpspec.study.run import EXTENDABLE, SETTINGS, Run
from mlpspec.study.subsets import chosen_subsets

MOST_RUNS = 10**7
"""Runs of a study: more would not fit the memory of those who plan them."""


@dataclass(frozen=True)
class Study:
    """A name and a product of axes.

    Parameters
    ----------
    name : str
        Letters, digits, ``-`` and ``_``; the default results directory is called like it.
    axes : mapping of str to sequence
        The fields of `Run` that vary, with their values; the runs are the product.
    settings : mapping of str to value, optional
        The fields that are the same in all runs and differ from their defaults.
    question : str, optional
        What the study asks, in a line.
    extensions : mapping of str to StructuralLoss, optional
        Custom losses by the name under which the axis ``losses`` has them; kept as
        `Definition`.

    Raises
    ------
    ValueError
        A name that cannot be a directory's, an unknown field, an axis that is empty or repeats a
        value, a field that is both axis and setting, or a value that `Run` refuses.

    Examples
    --------
    >>> study = Study("mine", {"n_samples": (5, 10), "seed": range(3)}, {"steps": 100})
    >>> len(study.runs), study.runs[0].steps
    (6, 100)
    >>> len(study.replace(seed=range(10), steps=50).runs)
    20
    >>> from mlpspec.losses import HardCoverage
    >>> study.with_losses({"hard": HardCoverage()}, "singles").axes["losses"]
    ((), ('hard',))
    >>> Study.from_json(study.to_json()) == study
    True
    """

    name: str
    axes: Mapping[str, Sequence[Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    question: str = ""
    extensions: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.axes, Mapping) or not isinstance(self.settings, Mapping):
            raise InputError("axes and settings map names of fields to values; give dicts")
        if not isinstance(self.name, str) or not re.fullmatch(r"[a-zA-Z0-9_-]+", self.name):
            raise InputError(
                f"the study's name is {self.name!r}; use letters, digits, '-' and '_' only"
            )
        for name in (*self.axes, *self.settings):
            if name not in SETTINGS:
                raise unknown("setting", name, SETTINGS)
        for name in set(self.axes) & set(self.settings):
            raise InputError(f"{name} is both an axis and a setting of {self.name}; keep one")
        # Before any value is looked at, of which there may be too many for the memory.
        count = math.prod(len(values) for values in self.axes.values() if isinstance(values, Sized))
        if count > MOST_RUNS:
            raise InputError(
                f"{self.name} has {count} runs; the limit is {MOST_RUNS}: split it by its seeds"
            )
        axes = {}
        for name, values in self.axes.items():
            if not SETTINGS[name].changes_result:
                raise InputError(
                    f"{name} changes no result and cannot be an axis; make it a setting"
                )
            if isinstance(values, str) or not isinstance(values, Iterable):
                raise InputError(
                    f"the axis {name} of {self.name} is {values!r}; it must be a tuple of values"
                )
            axes[name] = tuple(SETTINGS[name].cast(value) for value in values)
            if not axes[name]:
                raise InputError(f"the axis {name} of {self.name} has no values; give at least one")
            if len({SETTINGS[name].meaning(value) for value in axes[name]}) < len(axes[name]):
                raise InputError(f"the axis {name} of {self.name} repeats a value; name each once")
        cast = {name: SETTINGS[name].cast(value) for name, value in self.settings.items()}
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "settings", cast)
        extensions = {name: _definition(name, loss) for name, loss in self.extensions.items()}
        object.__setattr__(self, "extensions", extensions)
        for name in itertools.chain.from_iterable(self._subsets):
            if name not in BUILT_IN and name not in extensions:
                raise unknown("loss", name, (*BUILT_IN, *extensions))

    @property
    def _subsets(self) -> tuple[tuple[str, ...], ...]:
        return tuple(self.axes.get("losses", (self.settings.get("losses", ()),)))

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The product of the axes, the last one varying fastest; each run once."""
        bare = tuple(replace(definition, loss=None) for definition in self.extensions.values())
        same = {**self.settings, "definitions": bare}
        products = itertools.product(*self.axes.values())
        runs: dict[Any, Run] = {}
        for values in products:  # n_hidden of N is the same run as n_hidden left to N
            run = Run(**dict(zip(self.axes, values, strict=True)), **same)
            runs.setdefault(run.meaning, run)
        return tuple(runs.values())

    @property
    def own_losses(self) -> dict[str, StructuralLoss]:
        """The losses that are not built in, by name.

        Raises
        ------
        InputError
            The study was read from a results directory, which holds no code.
        """
        losses = {}
        for name, definition in self.extensions.items():
            if definition.loss is None:
                raise InputError(
                    f"the code of the loss {name} ({definition}) is not at hand; give it with "
                    f"--loss {name}=FILE_OR_MODULE:CLASS(args)"
                )
            losses[name] = definition.loss
        return losses

    @property
    def identity(self) -> dict[str, Any]:
        """What a results directory belongs to: the name, the axes' names, the fixed settings."""
        varying = sorted({*self.axes, *EXTENDABLE})
        fixed = {
            name: setting.meaning(self.settings.get(name, setting.default))
            for name, setting in SETTINGS.items()
            if name not in varying and setting.counts(self.settings.get(name, setting.default))
        }
        if "columns" in self.settings and "n_inputs" in fixed:
            fixed["n_inputs"] = self.runs[0].n_inputs  # given, or left to the columns
        return {"study": self.name, "axes": varying, "settings": fixed}

    def replace(self, **changes: Any) -> Study:
        """Return the study with other values: several make an axis, one a setting.

        One value for an axis leaves it an axis, with that value. Subsets of losses are tuples or
        labels, so ``losses=("coverage", "overlap")`` is an axis of two.
        """
        axes, settings = dict(self.axes), dict(self.settings)
        for name, value in changes.items():
            several = isinstance(value, Iterable) and not isinstance(value, str)
            if several or name in axes or name in EXTENDABLE:
                settings.pop(name, None)
                axes[name] = tuple(value) if several else (value,)
            else:
                settings[name] = value
        return Study(self.name, axes, settings, self.question, self.extensions)

    def with_losses(
        self, losses: Mapping[str, StructuralLoss], subsets: str | Iterable[str] = "all"
    ) -> Study:
        """Return the study with custom losses beside those that it has.

        Parameters
        ----------
        losses : mapping of str to StructuralLoss
            By the name that labels, columns and figures are to use. Like the others they are
            weighted by the setting ``weight``.
        subsets : str or iterable of str
            Which subsets of all names: ``all``, ``singles`` (none or one), ``pairs`` (at most
            two), or labels such as ``coverage+mine``.

        Raises
        ------
        ValueError
            A name that is taken, a loss that cannot be described, unknown labels, or all subsets
            of more than six losses.
        """
        names = dict.fromkeys((*itertools.chain.from_iterable(self._subsets), *losses))
        extensions = {**self.extensions, **losses}
        axes = {"losses": (), **self.axes, **{"losses": chosen_subsets(names, subsets)}}
        settings = {name: value for name, value in self.settings.items() if name != "losses"}
        return Study(self.name, axes, settings, self.question, extensions)

    def to_json(self) -> str:
        """Return the study as JSON; `from_json` reads it back."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        extensions = {name: d.to_dict() for name, d in self.extensions.items()}
        return json.dumps(content | {"extensions": extensions})

    @classmethod
    def from_json(cls, text: str) -> Study:
        """Return the study that `to_json` wrote."""
        return cls(**json.loads(text))


def _definition(name: str, loss: Any) -> Definition:
    if isinstance(loss, Definition):
        return loss
    return Definition.from_dict(name, loss) if isinstance(loss, Mapping) else define(name, loss)
