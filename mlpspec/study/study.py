"""Describing runs and studies: pure data, with keys that are the same on every machine."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from mlpspec.data.datasets import (
    COLUMN,
    FILE,
    canonical_dataset,
    canonical_target,
    without_path,
)
from mlpspec.data.tabular import SCALINGS, canonical_columns, column_names
from mlpspec.errors import InputError, unknown
from mlpspec.losses import BUILT_IN, StructuralLoss
from mlpspec.network.initializers import INITIALIZERS
from mlpspec.network.model import NEURONS
from mlpspec.study.extensions import Definition, check_name, define
from mlpspec.training.optimizers import OPTIMIZERS

KEY_VERSION = 1
"""Part of every key; raised when the same description comes to mean another result."""


def _setting(default: Any, help: str, **checks: Any) -> Any:
    return field(default=default, metadata={"help": help, **checks})


@dataclass(frozen=True)
class Run:
    """One training run, described completely.

    Values are cast to the declared types and checked; `SETTINGS` and ``mlpspec studies`` say what
    each means.

    Raises
    ------
    ValueError
        A value of the wrong type, outside its limits, or a name that does not exist.
    """

    losses: tuple[str, ...] = _setting((), "structural losses that are active")
    n_samples: int = _setting(10, "N, size of the data set", least=2)
    seed: int = _setting(0, "of data and start", least=0)
    steps: int = _setting(3000, "updates", least=0)
    learning_rate: float = _setting(0.01, "of the optimizer", above=0.0)
    weight: float = _setting(0.1, "of every active loss", least=0.0)
    fit_weight: float = _setting(1.0, "of the fit", least=0.0)
    weight_unit: str = _setting(
        "absolute",
        "absolute, or force: a share of the fit's gradient at the start",
        names=("absolute", "force"),
    )
    temperature: float = _setting(0.01, "tau of coverage and separation", above=0.0)
    temperature_unit: str = _setting(
        "absolute",
        "absolute, or spacing: in units of the mean spacing squared",
        names=("absolute", "spacing"),
    )
    n_hidden: int | None = _setting(None, "K, hidden units; by default N", least=1)
    n_inputs: int = _setting(1, "D, dimension of the inputs", least=1)
    neuron: str = _setting("ridge", "kind of hidden unit", names=NEURONS)
    initializer: str = _setting("uniform_prototypes", "the start", names=INITIALIZERS)
    optimizer: str = _setting("adam", "the training rule", names=OPTIMIZERS)
    target: str = _setting("sine", "what to learn, as listed below", canonical=canonical_target)
    start: str = _setting(
        "start",
        "stream of the start; placebo: another start on the same data",
        names=("start", "placebo"),
        later=True,
    )
    dataset: str = _setting(
        "uniform", "where inputs come from, as listed below", canonical=canonical_dataset
    )
    columns: str = _setting(
        "", "of a file: the inputs, like width,height", canonical=canonical_columns, later=True
    )
    scaling: str = _setting(
        "columns",
        "of a file: columns, each by itself, or common: all by one number",
        names=SCALINGS,
        later=True,
    )
    shift: float = _setting(0.0, "of data and start, in every dimension", later=True)
    dtype: str = _setting("float64", "arithmetic", names=("float64", "float32"))
    record_every: int = _setting(
        0, "steps between records of the curve; 0: none", least=0, in_key=False
    )
    definitions: tuple[Definition, ...] = ()
    """What the active losses are that are not built in; no setting, it follows from the study."""

    def __post_init__(self) -> None:
        for name, setting in SETTINGS.items():
            object.__setattr__(self, name, setting.cast(getattr(self, name)))
        object.__setattr__(self, "n_inputs", _checked_inputs(self))
        given = self.definitions
        if isinstance(given, Mapping):
            given = tuple(Definition.from_dict(name, content) for name, content in given.items())
        defined = {definition.name: definition for definition in given}
        for name in self.losses:
            if name not in BUILT_IN and name not in defined:
                raise unknown("loss", name, (*BUILT_IN, *defined))
        active = tuple(defined[name] for name in self.losses if name in defined)
        object.__setattr__(self, "definitions", active)

    @property
    def hidden_units(self) -> int:
        """K, also where ``n_hidden`` leaves it to N."""
        return self.n_samples if self.n_hidden is None else self.n_hidden

    @property
    def label(self) -> str:
        """The losses joined by ``+`` in canonical order, or ``baseline``."""
        return "+".join(self.losses) or "baseline"

    def to_dict(self) -> dict[str, Any]:
        """Return every field, as JSON can hold it."""
        own = {definition.name: definition.to_dict() for definition in self.definitions}
        settings = {name: getattr(self, name) for name in SETTINGS} | {"losses": list(self.losses)}
        return settings | ({"definitions": own} if own else {})

    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits that stand for everything that could change the result."""
        settings = {
            name: SETTINGS[name].meaning(value) if name in SETTINGS else value
            for name, value in self.to_dict().items()
            if name not in SETTINGS or SETTINGS[name].counts(value)
        }
        canonical = json.dumps({"version": KEY_VERSION, **settings}, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _checked_inputs(run: Run) -> int:
    """Return D, which the columns of a file say; raise `InputError` where settings disagree."""
    if not -1e6 <= run.shift <= 1e6:
        raise InputError(f"shift is {run.shift:g}; it must be from -1e6 to 1e6")
    if not run.dataset.startswith(FILE):
        for name in ("columns", "scaling", "target"):
            value = getattr(run, name)
            if value.startswith(COLUMN) if name == "target" else value != SETTINGS[name].default:
                raise InputError(
                    f"{name} is {value}, but dataset is {run.dataset}; give dataset=file:PATH.csv"
                )
        return run.n_inputs
    if not run.columns:
        raise InputError(
            f"dataset is {run.dataset} and columns is empty; name the inputs, like columns=a,b"
        )
    columns = len(column_names(run.columns))
    if run.n_inputs not in (1, columns):
        raise InputError(
            f"n_inputs is {run.n_inputs}, but columns is {run.columns}; leave n_inputs out"
        )
    return columns


@dataclass(frozen=True)
class Setting:
    """A field of `Run`: its default, meaning, type and limits."""

    name: str
    default: Any
    help: str
    least: float | None = None
    above: float | None = None
    names: tuple[str, ...] | None = None
    in_key: bool = True
    later: bool = False
    """Added after keys were fixed: at its default it stays out of keys, so that they hold."""

    canonical: Callable[[Any], Any] | None = None
    """Returns a value in its one form, or raises `InputError`; in place of `cast`'s own checks."""

    def meaning(self, value: Any) -> Any:
        """Return what keys and tables hold of ``value``: of a file its content, not its path."""
        return without_path(value) if self.name == "dataset" else value

    def counts(self, value: Any) -> bool:
        """Return whether ``value`` belongs in a key."""
        return self.in_key and not (self.later and value == self.default)

    def cast(self, value: Any) -> Any:
        """Return ``value`` as the field's type.

        Raises
        ------
        InputError
            It is of another type, outside the limits, or an unknown name.
        """
        if self.name == "losses":
            return canonical_losses(value)
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
        wanted = float if isinstance(self.default, float) else int
        try:
            number = wanted(value)
            exact = isinstance(value, str) or number == value
            if isinstance(value, bool) or not (exact and math.isfinite(number)):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            kind = "finite number" if wanted is float else "whole number"
            raise InputError(f"{self.name} is {value!r}; it must be a {kind}") from None
        if self.least is not None and number < self.least:
            raise InputError(f"{self.name} is {value}; it must be at least {self.least:g}")
        if self.above is not None and number <= self.above:
            raise InputError(f"{self.name} is {value}; it must be above {self.above:g}")
        if wanted is int and number >= 2**63:
            raise InputError(f"{self.name} is {value}; it must be below 2**63")
        return number + 0  # -0.0 is 0.0


SETTINGS: dict[str, Setting] = {
    f.name: Setting(
        f.name,
        f.default,
        f.metadata["help"],
        f.metadata.get("least"),
        f.metadata.get("above"),
        tuple(f.metadata["names"]) if "names" in f.metadata else None,
        f.metadata.get("in_key", True),
        f.metadata.get("later", False),
        f.metadata.get("canonical"),
    )
    for f in fields(Run)
    if f.metadata
}
"""Every field of `Run` that can be set, by name."""

EXTENDABLE = ("losses", "n_samples", "seed")
"""Fields whose values may be added to a results directory whatever the study."""


def canonical_losses(losses: str | Iterable[str]) -> tuple[str, ...]:
    """Return names of losses in canonical order, from names or from a label like ``a+b``.

    The order is that of `BUILT_IN`, then alphabetical.
    """
    if isinstance(losses, str):
        losses = [] if losses in ("", "baseline") else losses.split("+")
    if not isinstance(losses, Iterable):
        raise InputError(f"losses is {losses!r}; it must be a tuple of names, or a label like a+b")
    names = list(losses)
    for name in names:
        if name not in BUILT_IN:
            check_name(name)
    if len(set(names)) < len(names):
        raise InputError(f"losses name {'+'.join(names)}; each may occur once")
    return tuple(sorted(names, key=_place))


def _place(name: str) -> tuple[int, str]:
    return (BUILT_IN.index(name), "") if name in BUILT_IN else (len(BUILT_IN), name)


def subset_order(losses: Iterable[str]) -> tuple[Any, ...]:
    """Return what puts subsets of losses in order: the smaller ones first, then by their names."""
    places = [_place(name) for name in losses]
    return len(places), places


def subsets(names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return all subsets of ``names``, the smaller ones first."""
    names = tuple(names)
    return tuple(
        subset for size in range(len(names) + 1) for subset in itertools.combinations(names, size)
    )


def chosen_subsets(names: Iterable[str], which: str | Iterable[str]) -> tuple[Any, ...]:
    """Return the subsets of ``names`` that ``which`` stands for, in canonical order.

    ``all``; ``singles``: none or one; ``pairs``: at most two; or labels, in an iterable or joined
    by commas.

    Raises
    ------
    InputError
        All subsets of more than six losses, or what is no label.
    """
    names = canonical_losses(names)
    largest = {"all": len(names), "singles": 1, "pairs": 2}
    if isinstance(which, str) and which in largest:
        if which == "all" and len(names) > MOST_LOSSES:
            raise InputError(
                f"{len(names)} losses have {2 ** len(names)} subsets; the limit for all of them "
                f"is {MOST_LOSSES} losses: choose with --subsets singles, pairs or a list of labels"
            )
        return tuple(subset for subset in subsets(names) if len(subset) <= largest[which])
    if which == "":
        raise InputError("subsets is empty; say baseline for runs without a structural loss")
    labels = which.split(",") if isinstance(which, str) else list(which)
    labels = [label.strip() if isinstance(label, str) else label for label in labels]
    found = {canonical_losses(label) for label in labels}
    return tuple(sorted(found, key=subset_order))


MOST_RUNS = 10**7
"""Runs of a study: more would not fit the memory of those who plan them."""

MOST_LOSSES = 6
"""Losses of which all subsets can be asked for."""


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
        Losses of one's own by the name under which the axis ``losses`` has them; kept as
        `Definition`.

    Raises
    ------
    ValueError
        A name that cannot be a directory's, an unknown field, an axis that is empty or repeats a
        value, a field that is both axis and setting, or a value that `Run` refuses.
    """

    name: str
    axes: Mapping[str, Sequence[Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    question: str = ""
    extensions: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.axes, Mapping) or not isinstance(self.settings, Mapping):
            raise InputError("axes and settings map names of fields to values; give dicts")
        if (
            not isinstance(self.name, str)
            or not self.name
            or not all(c.isascii() and (c.isalnum() or c in "-_") for c in self.name)
        ):
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
            if not SETTINGS[name].in_key:
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
        """The product of the axes, the last one varying fastest."""
        bare = tuple(replace(definition, loss=None) for definition in self.extensions.values())
        return tuple(
            Run(
                **dict(zip(self.axes, values, strict=True)),
                **self.settings,
                definitions=bare,
            )
            for values in itertools.product(*self.axes.values())
        )

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
            fixed["n_inputs"] = self.runs[0].n_inputs  # said or left to the columns
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
        """Return the study with losses of one's own beside those that it has.

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
        axes = {"losses": chosen_subsets(names, subsets), **self.axes}
        axes["losses"] = chosen_subsets(names, subsets)
        settings = {name: value for name, value in self.settings.items() if name != "losses"}
        return Study(self.name, axes, settings, self.question, extensions)

    def to_json(self) -> str:
        """Return the study as JSON; `from_json` reads it back."""
        return json.dumps(
            {
                "name": self.name,
                "axes": self.axes,
                "settings": self.settings,
                "question": self.question,
                "extensions": {name: d.to_dict() for name, d in self.extensions.items()},
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Study:
        """Return the study that `to_json` wrote."""
        return cls(**json.loads(text))


def _definition(name: str, loss: Any) -> Definition:
    if isinstance(loss, Definition):
        return loss
    return Definition.from_dict(name, loss) if isinstance(loss, Mapping) else define(name, loss)
