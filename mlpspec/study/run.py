"""Describing one training run: pure data, with a key that is the same on every machine.

The key is a digest of the description as canonical JSON. It leaves out what changes no result and
settings of later versions at their defaults, so that the keys of stored runs hold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any

from mlpspec.compress import COMPRESSIONS, NONE
from mlpspec.data.datasets import COLUMN, FILE, canonical_dataset
from mlpspec.data.held import DESCRIBED, content_of, contents_of
from mlpspec.data.spec import canonical_form, parse_call
from mlpspec.data.tabular import (
    DECIMALS,
    SCALINGS,
    SEPARATORS,
    canonical_columns,
    canonical_sign,
    column_names,
)
from mlpspec.errors import InputError, unknown
from mlpspec.losses import BUILT_IN
from mlpspec.losses.base import REDUCTIONS
from mlpspec.network.initializers import INITIALIZERS, canonical_initializer
from mlpspec.network.neurons import NEURONS, canonical_neuron
from mlpspec.shown import html_of
from mlpspec.study.ends import canonical_start, canonical_target_or_end
from mlpspec.study.extensions import Definition
from mlpspec.study.settings import AFFECTED, Setting, declare
from mlpspec.study.subsets import canonical_losses
from mlpspec.training.moments import RECORDS
from mlpspec.training.optimizers import OPTIMIZERS, check_line_search
from mlpspec.training.perturbation import PERTURBED
from mlpspec.training.schedules import SCHEDULES
from mlpspec.training.stopping import STOPPINGS, phases_of

KEY_VERSION = 1
"""Part of every key; raised when the same description comes to mean another result."""

FIRST = (
    *("losses", "n_samples", "seed", "steps", "learning_rate", "weight", "fit_weight"),
    *("weight_unit", "temperature", "temperature_unit", "n_hidden", "n_inputs", "neuron"),
    *("initializer", "optimizer", "target", "dataset", "dtype", "record_every"),
)
"""Settings that are in every key. Those that came later are in keys where they are not at their
defaults, so that the keys of older runs hold."""

REDUCED = "over pairs: mean, neuron (each one's sum, averaged) or sum"
"""What the reductions are, for the listing."""


@dataclass(frozen=True)
class Run:
    """One training run, described completely.

    Values are cast to the declared types and checked; `SETTINGS` and ``mlpspec studies`` say what
    each means.

    Raises
    ------
    ValueError
        A value of the wrong type, outside its limits, or a name that does not exist.

    Examples
    --------
    >>> run = Run(losses="overlap+coverage", n_samples=20, seed=3)
    >>> run.losses, run.label, run.hidden_units
    (('coverage', 'overlap'), 'coverage+overlap', 20)
    >>> Run().key
    'dc7bb7477c92cb54'
    >>> Run(n_samples=1)
    Traceback (most recent call last):
        ...
    mlpspec.errors.InputError: n_samples is 1; it must be at least 2
    """

    losses: tuple[str, ...] = declare(
        (), "structural losses that are active", "objective", canonical=canonical_losses
    )
    n_samples: int = declare(10, "N, size of the data set", "data start objective", least=2)
    seed: int = declare(0, "of data and start", "data start", least=0)
    steps: int = declare(3000, "updates", "training", least=0)
    learning_rate: float = declare(0.01, "of the optimizer", "training", above=0.0)
    weight: float = declare(0.1, "of every active loss", "objective", least=0.0)
    fit_weight: float = declare(1.0, "of the fit", "objective", least=0.0)
    weight_unit: str = declare(
        "absolute",
        "absolute, or force: a share of the fit's gradient at the start",
        "objective",
        names=("absolute", "force"),
    )
    temperature: float = declare(0.01, "tau of coverage and of separation", "objective", above=0.0)
    temperature_unit: str = declare(
        "absolute",
        "absolute, or spacing: in units of the mean spacing squared",
        "objective",
        names=("absolute", "spacing"),
    )
    separation_temperature: float | None = declare(
        None, "tau of separation; by default temperature", "objective", above=0.0, number=float
    )
    coverage_minimum: str = declare(
        "soft",
        "coverage by a soft or by a hard minimum over the prototypes",
        "objective",
        names=("soft", "hard"),
    )
    separation_reduction: str = declare("mean", REDUCED, "objective", names=REDUCTIONS)
    overlap_reduction: str = declare("mean", REDUCED, "objective", names=REDUCTIONS)
    n_hidden: int | None = declare(None, "K, hidden units; by default N", "start", least=1)
    n_inputs: int = declare(1, "D, dimension of the inputs", "data start objective", least=1)
    neuron: str = declare(
        "ridge",
        "kind of hidden unit; ridge(epsilon=1e-4): in the prototype",
        "start training",
        names=tuple(NEURONS),
        canonical=canonical_neuron,
    )
    initializer: str = declare(
        "uniform_prototypes",
        "the start; inputs(slope=4): of steeper neurons",
        "start",
        names=tuple(INITIALIZERS),
        canonical=canonical_initializer,
    )
    optimizer: str = declare(
        "adam",
        "the training rule, as listed below",
        "training",
        canonical=canonical_form(OPTIMIZERS, "optimizer", "adam(beta2=0.99)", "learning_rate"),
    )
    schedule: str = declare(
        "constant",
        "of the learning rate, as listed below",
        "training",
        canonical=canonical_form(SCHEDULES, "schedule", "cosine(periods=3)"),
    )
    warmup: float = declare(
        0.0, "share of the steps in which the learning rate rises", "training", least=0.0, below=1.0
    )
    early_stopping: str = declare(
        "none",
        "when a run ends by itself, as listed below",
        "training",
        canonical=canonical_form(STOPPINGS, "early_stopping", "plateau(patience=20)"),
    )
    losses_from: float = declare(
        0.0, "share of the steps after which the active losses come in", "training", least=0.0
    )
    losses_until: float = declare(
        1.0, "share of the steps after which they are switched off", "training", above=0.0
    )
    l1: float = declare(0.0, "weight of the sum of absolute weights", "objective", least=0.0)
    l2: float = declare(0.0, "weight of half the sum of squared weights", "objective", least=0.0)
    dropout: float = declare(
        0.0,
        "share of hidden units that are left out of the fit at a step",
        "training",
        least=0.0,
        below=1.0,
    )
    deactivation: float = declare(
        0.0,
        "share of responses, the most monosemantic, that are deactivated and reversed in the fit",
        "training",
        least=0.0,
        below=1.0,
    )
    jitter: float = declare(
        0.0, "of the inputs at every step, standard deviation", "training", least=0.0
    )
    target_noise: float = declare(
        0.0, "of the targets at every step, standard deviation", "training", least=0.0
    )
    adversarial: float = declare(
        0.0, "step of the inputs, at every step, that raises the fit's error", "training", least=0.0
    )
    compress: str = declare(
        NONE,
        "what is done to the trained network, as listed below",
        "compression",
        canonical=canonical_form(COMPRESSIONS, "compress", "prune_height(keep=0.25)"),
    )
    target: str = declare(
        "sine", "what to learn, as listed below", "data", canonical=canonical_target_or_end
    )
    start: str = declare(
        "start",
        "stream of the start; placebo: another on the same data; run:DIRECTORY/KEY: a run's end",
        "start",
        canonical=canonical_start,
    )
    dataset: str = declare(
        "uniform",
        "where inputs come from, as listed below",
        "data start objective",
        canonical=canonical_dataset,
    )
    columns: str = declare(
        "", "of a file: the inputs, like width,height", "data start", canonical=canonical_columns
    )
    scaling: str = declare(
        "columns",
        "of a file: columns, each by itself, or common: all by one number",
        "data start",
        names=SCALINGS,
    )
    separator: str = declare(
        "comma",
        "of a file's cells: comma, semicolon, tab, space (any run of blanks) or bar",
        "data start",
        canonical=partial(canonical_sign, "separator", SEPARATORS),
    )
    decimal: str = declare(
        "point",
        "of a file's numbers: point or comma",
        "data start",
        canonical=partial(canonical_sign, "decimal", DECIMALS),
    )
    shift: float = declare(0.0, "of data and start, in every dimension", "data start objective")
    dtype: str = declare("float64", "arithmetic", " ".join(AFFECTED), names=("float64", "float32"))
    record_every: int = declare(
        0, "steps between records of the curve; 0: none", "recording", least=0
    )
    record: str = declare(
        "every",
        "every: every record_every steps, or log: 14 times a decade, unless record_every is set",
        "recording",
        names=RECORDS,
    )
    definitions: tuple[Definition, ...] = ()
    """What the active losses are that are not built in; no setting, it follows from the study."""

    def __post_init__(self) -> None:
        for name, setting in SETTINGS.items():
            object.__setattr__(self, name, setting.cast(getattr(self, name)))
        if has_one_temperature(vars(self)):
            object.__setattr__(self, "separation_temperature", None)
        if self.record_every:
            object.__setattr__(self, "record", "every")
        object.__setattr__(self, "n_inputs", _checked_inputs(self))
        if content_of(self.start) and self.initializer != SETTINGS["initializer"].default:
            raise InputError(
                f"initializer is {self.initializer}, but start is the end of a run ({self.start}); "
                "leave initializer out"
            )
        _check_training(self)
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
        """K of the network that is trained, also where ``n_hidden`` leaves it to N."""
        return self.n_samples if self.n_hidden is None else self.n_hidden

    @property
    def tau_of_separation(self) -> float:
        """The temperature of separation, also where it is that of coverage."""
        separate = self.separation_temperature
        return self.temperature if separate is None else separate

    @property
    def perturbed(self) -> bool:
        """Whether data or hidden units are perturbed at every step."""
        return any(getattr(self, name) for name in PERTURBED)

    @property
    def held(self) -> set[str]:
        """The contents of the table and networks that it is described by (`mlpspec.data.held`)."""
        return contents_of(getattr(self, name) for name in DESCRIBED)

    @property
    def label(self) -> str:
        """The losses joined by ``+`` in canonical order, or ``baseline``."""
        return "+".join(self.losses) or "baseline"

    def _repr_html_(self) -> str:
        chosen = {
            name: value
            for name, value in self.to_dict().items()
            if name in SETTINGS and value != SETTINGS[name].default
        }
        rows = [[name, value] for name, value in (chosen | {"losses": self.label}).items()]
        return html_of(f"Run {self.key}", ["the rest is the default"], ["setting", "value"], rows)

    def to_dict(self) -> dict[str, Any]:
        """Return every field, as JSON can hold it."""
        definitions = {each.name: each.to_dict() for each in self.definitions}
        settings = {name: getattr(self, name) for name in SETTINGS} | {"losses": list(self.losses)}
        return settings | ({"definitions": definitions} if definitions else {})

    @property
    def meaning(self) -> tuple[Any, ...]:
        """What decides the result; equal for all descriptions of one run.

        Keys are of text: they may differ where values are equal, such as 2 and 2.0 in a field of a
        loss that an older version stored, or K given as N and left to N.
        """
        values = {
            name: setting.meaning(getattr(self, name))
            for name, setting in SETTINGS.items()
            if setting.changes_result
        }
        return (*(values | {"n_hidden": self.hidden_units}).values(), *self.definitions)

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
        for name in ("columns", "scaling", "separator", "decimal", "target"):
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


def _check_training(run: Run) -> None:
    """Raise `InputError` where settings of the training disagree."""
    phases_of(run.steps, run.losses_from, run.losses_until)
    rule = parse_call(run.optimizer).name
    scheduled = run.schedule != "constant" or run.warmup > 0.0
    check_line_search(rule, scheduled, run.perturbed)
    for name in ("l1", "l2"):
        if getattr(run, name) and name in run.losses:
            raise InputError(f"{name} is a penalty and a loss of your own; rename the loss")


SETTINGS: dict[str, Setting] = {
    f.name: Setting(f.name, f.default, **f.metadata, later=f.name not in FIRST)
    for f in fields(Run)
    if f.metadata
}
"""Every field of `Run` that can be set, by name."""

EXTENDABLE = ("losses", "n_samples", "seed")
"""Fields whose values may be added to a results directory whatever the study."""


def affecting(*parts: str) -> tuple[str, ...]:
    """Return the names of the settings that affect any of ``parts`` (`AFFECTED`).

    Examples
    --------
    >>> affecting("training", "recording")  # doctest: +ELLIPSIS
    ('steps', 'learning_rate', 'neuron', 'optimizer', 'schedule', ...)
    """
    return tuple(name for name, setting in SETTINGS.items() if {*parts} & {*setting.affects})


def has_one_temperature(settings: Mapping[str, Any]) -> bool:
    """Return whether settings give separation the temperature that it has by default, coverage's.

    Examples
    --------
    >>> has_one_temperature({"separation_temperature": 0.01})
    True
    """
    default = SETTINGS["temperature"].default
    return bool(settings.get("separation_temperature") == settings.get("temperature", default))


PROBLEM = affecting("data", "start")
"""Settings in which runs with the same data and start are equal."""
