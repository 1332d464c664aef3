"""Describing studies: a name and a product of axes, for one or for several sets of settings.

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

from mlpspec.data.datasets import COLUMN
from mlpspec.data.held import DESCRIBED, TARGET, contents_of, hold_table
from mlpspec.errors import InputError, unknown
from mlpspec.losses import BUILT_IN, StructuralLoss
from mlpspec.shown import html_of
from mlpspec.study.ends import canonical_start, size_and_seed
from mlpspec.study.extensions import Definition, define
from mlpspec.study.run import EXTENDABLE, SETTINGS, Run, has_one_temperature
from mlpspec.study.subsets import chosen_subsets

MOST_RUNS = 10**7
"""Runs of a study: more would not fit the memory of those who plan them."""


@dataclass(frozen=True)
class Study:
    """A name and a product of axes, for one or for several sets of settings, its variants.

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
    variants : mapping of str to mapping of str to value, optional
        Sets of settings by name, in place of those of all runs: the product of the axes is run
        for each. Tables have a column ``variant``.
    starts : mapping of str to str, optional
        The network from which the runs with an N and a seed start, as `mlpspec.Results.ends` gives
        them.

    Raises
    ------
    ValueError
        A name that cannot be a directory's, an unknown field, an axis that is empty or repeats a
        value, a field that is both axis and setting, two variants that are the same, or a value
        that `Run` refuses.

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
    >>> long = Study("long", {"seed": range(3)}, variants={"short": {}, "long": {"steps": 9000}})
    >>> len(long.runs), long.variant_of[long.runs[5].key], long.runs[5].steps
    (6, 'long', 9000)
    """

    name: str
    axes: Mapping[str, Sequence[Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    question: str = ""
    extensions: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    starts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.axes, Mapping) or not isinstance(self.settings, Mapping):
            raise InputError("axes and settings map names of fields to values; give dicts")
        if not isinstance(self.variants, Mapping) or not all(
            isinstance(chosen, Mapping) for chosen in self.variants.values()
        ):
            raise InputError("variants map names to settings; give a dict of dicts")
        if not isinstance(self.name, str) or not re.fullmatch(r"[a-zA-Z0-9_-]+", self.name):
            raise InputError(
                f"the study's name is {self.name!r}; use letters, digits, '-' and '_' only"
            )
        for name in (*self.axes, *self.settings, *itertools.chain(*self.variants.values())):
            if name not in SETTINGS:
                raise unknown("setting", name, SETTINGS)
        for name in set(self.axes) & set(self.settings):
            raise InputError(f"{name} is both an axis and a setting of {self.name}; keep one")
        # Before any value is looked at, of which there may be too many for the memory.
        count = math.prod(len(values) for values in self.axes.values() if isinstance(values, Sized))
        count *= max(1, len(self.variants))
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
        if "temperature" not in axes and has_one_temperature(cast):
            cast["separation_temperature"] = None  # as in a run
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "settings", cast)
        object.__setattr__(self, "variants", self._checked_variants())
        extensions = {name: _definition(name, loss) for name, loss in self.extensions.items()}
        object.__setattr__(self, "extensions", extensions)
        if not isinstance(self.starts, Mapping):
            raise InputError("starts map N and seed to ends of runs; give results.ends()")
        starts = {place: canonical_start(text) for place, text in self.starts.items()}
        object.__setattr__(self, "starts", starts)
        for start in self._values_of("start") if starts else ():
            if start != SETTINGS["start"].default:
                raise InputError(
                    f"start is {start}, but each seed has a start of its own; keep one"
                )
        for name in itertools.chain.from_iterable(self._subsets):
            if name not in BUILT_IN and name not in extensions:
                raise unknown("loss", name, (*BUILT_IN, *extensions))

    def _checked_variants(self) -> dict[str, dict[str, Any]]:
        variants: dict[str, dict[str, Any]] = {}
        first: dict[Run, str] = {}
        for name, chosen in self.variants.items():
            if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", name):
                raise InputError(
                    f"a variant of {self.name} is called {name!r}; use lower-case letters, digits, "
                    "'-' and '_', at most 40"
                )
            for setting in chosen:
                if setting in (*self.axes, *EXTENDABLE) or not SETTINGS[setting].changes_result:
                    raise InputError(
                        f"the variant {name} of {self.name} sets {setting}, which is an axis, or "
                        "no matter of variants; leave it out"
                    )
            variants[name] = {key: SETTINGS[key].cast(value) for key, value in chosen.items()}
            run = Run(**{**self.settings, **variants[name], "losses": ()})
            if run in first:
                raise InputError(
                    f"the variants {first[run]} and {name} of {self.name} are the same; keep one"
                )
            first[run] = name
        return variants

    @property
    def _subsets(self) -> tuple[tuple[str, ...], ...]:
        return tuple(self.axes.get("losses", (self.settings.get("losses", ()),)))

    @cached_property
    def _planned(self) -> dict[Any, tuple[Run, str]]:
        """Each run once, with its variant, by what decides its result."""
        bare = tuple(replace(definition, loss=None) for definition in self.extensions.values())
        products = [
            dict(zip(self.axes, values, strict=True))
            for values in itertools.product(*self.axes.values())
        ]
        runs: dict[Any, tuple[Run, str]] = {}
        for variant, chosen in (self.variants or {"": {}}).items():
            for product in products:  # n_hidden of N is the same run as n_hidden left to N
                run = Run(**{**self.settings, **chosen, **product, "definitions": bare})
                run = self._started(run) if self.starts else run
                first = runs.setdefault(run.meaning, (run, variant))[1]
                if first != variant:  # a run has one variant, and the other would lack it
                    raise InputError(
                        f"the variants {first} and {variant} of {self.name} share a run "
                        f"({run.label}, N = {run.n_samples}, seed {run.seed}); leave one out, or "
                        "change the axes"
                    )
        return runs

    def _started(self, run: Run) -> Run:
        place = size_and_seed(run.n_samples, run.seed)
        if place not in self.starts:
            raise InputError(
                f"{self.name} starts from the ends of other runs, of which none has {place}; train "
                "it there, or leave it out"
            )
        return replace(run, start=self.starts[place])

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The product of the axes, the last varying fastest, for each variant; each run once."""
        return tuple(run for run, _ in self._planned.values())

    @cached_property
    def variant_of(self) -> dict[str, str]:
        """The variant of every run, by key; empty without variants."""
        planned = self._planned.values() if self.variants else ()
        return {run.key: variant for run, variant in planned}

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
        more = [*(["variant"] if self.variants else []), *(["start"] if self.starts else [])]
        varying = sorted({*self.axes, *EXTENDABLE, *more})
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
        labels, so ``losses=("coverage", "overlap")`` is an axis of two. What is given counts for
        all variants; ``variants=("a", "b")`` leaves those two. A mapping as ``start`` gives each
        N and seed a start of its own (`mlpspec.Results.ends`).
        """
        starts = {} if "start" in changes else dict(self.starts)
        if isinstance(changes.get("start"), Mapping):
            starts = changes["start"]
            changes["start"] = SETTINGS["start"].default
            if not starts:  # its runs would start as ever
                raise InputError("start has no end of a run; choose runs, and give their ends()")
        variants = dict(self.variants)
        if "variants" in changes:
            names = tuple(changes.pop("variants"))
            if not variants:
                raise InputError(f"{self.name} has no variants to choose from")
            for name in names:
                if name not in variants:
                    raise unknown("variant", name, variants)
            variants = {name: variants[name] for name in names}
        variants = {
            name: {key: value for key, value in chosen.items() if key not in changes}
            for name, chosen in variants.items()
        }
        axes, settings = dict(self.axes), dict(self.settings)
        for name, value in changes.items():
            if isinstance(value, Mapping):
                raise InputError(
                    f"{name} is a mapping; start alone may have a value for each N and seed"
                )
            several = isinstance(value, Iterable) and not isinstance(value, str)
            if several or name in axes or name in EXTENDABLE:
                settings.pop(name, None)
                axes[name] = tuple(value) if several else (value,)
            else:
                settings[name] = value
        return replace(self, axes=axes, settings=settings, variants=variants, starts=starts)

    def with_losses(
        self,
        losses: Mapping[str, StructuralLoss],
        subsets: str | Iterable[str | Iterable[str]] = "all",
    ) -> Study:
        """Return the study with custom losses beside those that it has.

        Parameters
        ----------
        losses : mapping of str to StructuralLoss
            By the name that labels, columns and figures are to use. Like the others they are
            weighted by the setting ``weight``.
        subsets : str or iterable
            Which subsets of all names: ``all``, ``singles`` (none or one), ``pairs`` (at most
            two), or labels such as ``coverage+mine`` or tuples of names.

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
        return replace(self, axes=axes, settings=settings, extensions=extensions)

    def with_data(self, x: Any, y: Any = None) -> Study:
        """Return the study on data of one's own, given as arrays, in place of the data it has.

        As of a file, every column is scaled to [-1, 1] (`scaling`), N rows are drawn for each
        seed, and the content is part of every run's key. A results directory keeps the arrays.

        Parameters
        ----------
        x : (M, D)
            Inputs.
        y : (M,), optional
            Targets; without them the setting ``target`` stays as it is.

        Raises
        ------
        ValueError
            Arrays of other shapes, or that are not of finite real numbers.
        """
        dataset, names = hold_table(x, y)
        target = {} if y is None else {"target": f"{COLUMN}{TARGET}"}
        return self.replace(dataset=dataset, columns=",".join(names), **target)

    @property
    def held(self) -> set[str]:
        """The contents of the tables and networks that its runs are described by."""
        return contents_of([*self._values_of(*DESCRIBED), *self.starts.values()])

    def _values_of(self, *names: str) -> list[Any]:
        """Return all values that the study gives these settings."""
        given = [self.settings, *self.variants.values()]
        one = [chosen[name] for name in names for chosen in given if name in chosen]
        return one + [value for name in names for value in self.axes.get(name, ())]

    def _repr_html_(self) -> str:
        rows: list[list[Any]] = []
        for name, values in self.axes.items():
            words = ["+".join(v) or "baseline" for v in values] if name == "losses" else values
            rest = ", ..." if len(words) > 16 else ""
            rows.append([f"{name} ({len(words)})", ", ".join(map(str, words[:16])) + rest])
        rows += [[name, SETTINGS[name].meaning(value)] for name, value in self.settings.items()]
        rows += [[f"loss {name}", definition] for name, definition in self.extensions.items()]
        rows += [[f"variant {name}", chosen] for name, chosen in list(self.variants.items())[:16]]
        lines = [*filter(None, [self.question]), f"{len(self.runs)} runs"]
        return html_of(f"Study {self.name}", lines, ["setting", "values"], rows)

    def to_json(self) -> str:
        """Return the study as JSON; `from_json` reads it back."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        if not self.starts:
            del content["starts"]
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
