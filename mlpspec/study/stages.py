"""Stages of studies with variants: what follows on what came out, and the sweep of each stage.

The next stage has some of the variants, on the whole grid and on seeds of its own. Which it takes,
and in which order they come, follows from the results (`mlpspec.analysis`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, NamedTuple

from mlpspec.errors import InputError
from mlpspec.losses import BUILT_IN
from mlpspec.study import readings, robustness
from mlpspec.study.choices import DEFAULT, Choices
from mlpspec.study.readings import FORMER, LARGE, SIZES, SWEPT, TEMPERATURES
from mlpspec.study.study import Study
from mlpspec.study.subsets import subsets


class Stage(NamedTuple):
    """What follows on a stage: its name, how many of the first variants it takes, and its seeds.

    Examples
    --------
    >>> STAGES["readings"].name, STAGES["readings"].most
    ('finalists', 20)
    """

    name: str
    most: int
    seeds: range
    always: tuple[str, ...]
    """Variants that it takes too, if the stage before has them."""


STAGES = {
    "readings": Stage("finalists", 20, range(1100, 1110), (FORMER,)),
    "finalists": Stage("fresh", 5, range(1200, 1300), (FORMER,)),
    "robustness": Stage("decisive", 10, range(2100, 2110), (DEFAULT, "dimension-2")),
}
"""The stage that follows, by the name of a study."""

TABLES: dict[str, Choices] = {
    **dict.fromkeys(("readings", "finalists", "fresh"), readings.CHOICES),
    **dict.fromkeys(("robustness", "decisive"), robustness.CHOICES),
    "controls": {},  # no choices, but doubts
}
"""The table of choices of a study, by name."""


def choices_of(name: str) -> Choices:
    """Return the table of choices of a study; one of one's own has that of the readings.

    Examples
    --------
    >>> choices_of("mine") is choices_of("readings")
    True
    """
    return TABLES.get(name, readings.CHOICES)


def default_of(name: str) -> Mapping[str, Any]:
    """Return the settings that no choice of a study's table changes, by its name.

    Examples
    --------
    >>> default_of("readings"), default_of("robustness")
    ({}, {'separation_temperature': 0.0001})
    """
    return readings.READING if choices_of(name) is robustness.CHOICES else {}


def next_stage(study: Study, ranked: Iterable[str]) -> Study | None:
    """Return the stage after ``study`` for its first variants, in order; None after the last.

    Examples
    --------
    >>> study = readings.readings().replace(variants=("former", "r001", "r003"))
    >>> finalists = next_stage(study, ["r003", "former", "r001"])
    >>> finalists.name, list(finalists.variants), len(finalists.runs)
    ('finalists', ['r003', 'former', 'r001'], 1440)
    """
    if study.name not in STAGES:
        return None
    name, most, seeds, always = STAGES[study.name]
    chosen = list(ranked)
    first = [v for v in chosen if v not in always][:most]
    chosen = [v for v in chosen if v in (*always, *first)]
    axes = {"losses": subsets(BUILT_IN), "n_samples": SIZES, "seed": seeds}
    return Study(
        name,
        axes,
        _but(study.settings, axes),
        study.question,
        variants={name: study.variants[name] for name in chosen},
    )


def check_seeds(study: Study) -> None:
    """Raise `InputError` if a stage after ``study`` has a seed of its own: it chooses by them.

    Examples
    --------
    >>> study = readings.readings().replace(variants=("former",))
    >>> check_seeds(study)
    >>> check_seeds(study.replace(seed=(1100,)))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    mlpspec.errors.InputError: readings has the seed 1100, which is one of finalists, the stage ...
    """
    chosen_by = {run.seed for run in study.runs}
    name = study.name
    while name in STAGES:
        name, _, seeds, _ = STAGES[name]
        if both := chosen_by & {*seeds}:
            raise InputError(
                f"{study.name} has the seed {min(both)}, which is one of {name}, the stage that "
                "sees whether what was chosen lasts; choose other seeds, or give --only"
            )


def separation_sweep(study: Study) -> Study:
    """Return separation alone over its temperature, for the variants of a study.

    Variants that differ in nothing but the temperature of separation are one. In a first stage the
    one temperature is `LARGE`.

    Examples
    --------
    >>> sweep = separation_sweep(readings.readings().replace(variants=("former", "earlier")))
    >>> sweep.axes["separation_temperature"], sweep.axes["n_samples"]
    ((10.0,), (3, 10, 50))
    """
    variants: dict[str, Mapping[str, Any]] = {}
    for name, chosen in study.variants.items():
        rest = without_separation_temperature(chosen)
        if rest not in variants.values():
            variants[name] = rest
    first = study.name not in {stage.name for stage in STAGES.values()}
    sizes, seeds = (
        tuple(dict.fromkeys(getattr(run, name) for run in study.runs))
        for name in ("n_samples", "seed")
    )
    several = tuple(size for size in sizes if size in SWEPT) or sizes
    axes = {
        "losses": (("separation",),),
        "n_samples": sizes if first else several,
        "separation_temperature": (LARGE,) if first else TEMPERATURES,
        "seed": seeds,
    }
    return Study(
        "tau-sweep",
        axes,
        _but(study.settings, axes),
        "At which temperatures does separation expel the prototypes?",
        variants=variants,
    )


def beside(study: Study) -> dict[str, Study]:
    """Return the studies that a stage is judged with, by the folders that they lie in.

    Examples
    --------
    >>> list(beside(robustness.robustness().replace(variants=("default",))))
    ['tau-sweep', 'chance', 'chance/tau-sweep']
    """
    found = {"tau-sweep": separation_sweep(study)}
    if study.name == "robustness":
        chance = robustness.chance(study)
        found |= {"chance": chance, "chance/tau-sweep": separation_sweep(chance)}
    return found


def without_separation_temperature(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings but for ``separation_temperature``, which tells no sweeps apart.

    Examples
    --------
    >>> without_separation_temperature({"separation_temperature": 0.1, "weight": 0.3})
    {'weight': 0.3}
    """
    return _but(settings, ("separation_temperature",))


def _but(settings: Mapping[str, Any], names: Container[str]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}
