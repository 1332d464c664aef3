"""Tables of choices: what sets of settings choose among, and drawing from them.

A study with variants may have such a table (`mlpspec.study.stages.TABLES`). A choice has options,
each of them settings; a set of settings has one option of each choice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from mlpspec.study.run import SETTINGS

Changes = Callable[[np.random.Generator, int], Iterable[int]]
"""From a stream and the number of choices to those that a drawn set changes, by number."""

DEFAULT = "default"
"""The variant that has the settings of the named studies, with which others are compared."""

Choices = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""The settings of each option, by choice. The first option is that of the default, and so are no
settings. No two choices of a table have a setting in common."""


def values_of(
    setting: str, first: str, others: Mapping[str, Any] | Sequence[Any]
) -> dict[str, Mapping[str, Any]]:
    """Return the options of a choice that is one setting: ``first`` leaves it at its default.

    The others are values by the names of their options; or values alone, which name themselves,
    with blanks for ``_``.

    Examples
    --------
    >>> values_of("weight", "0.1", (0.3, 1.0))
    {'0.1': {}, '0.3': {'weight': 0.3}, '1': {'weight': 1.0}}
    """
    if not isinstance(others, Mapping):
        others = {str(x).removesuffix(".0").replace("_", " "): x for x in others}
    return {first: {}, **{option: {setting: value} for option, value in others.items()}}


def first_of(options: Iterable[str]) -> str:
    """Return the option of the default.

    Examples
    --------
    >>> first_of({"mean": {}, "half the mean": {"fit_weight": 0.5}})
    'mean'
    """
    return next(iter(options))


def settings_of(options: Mapping[str, str], choices: Choices) -> dict[str, Any]:
    """Return the settings of options by choice; what is not named has that of the default.

    Examples
    --------
    >>> table = {"fit": values_of("fit_weight", "mean", {"half the mean": 0.5})}
    >>> settings_of({"fit": "half the mean"}, table), settings_of({}, table)
    ({'fit_weight': 0.5}, {})
    """
    settings: dict[str, Any] = {}
    for choice, known in choices.items():
        settings |= known[options.get(choice, first_of(known))]
    return settings


def options_of(
    settings: Mapping[str, Any], choices: Choices, default: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, str]:
    """Return the options by choice from settings; ``other`` where they are those of none.

    Parameters
    ----------
    settings : mapping
        All that differ from the defaults of a run, from wherever they come.
    choices : mapping
    default : mapping
        The settings to which those of each option are added.

    Examples
    --------
    >>> table = {"fit": values_of("fit_weight", "mean", {"half the mean": 0.5})}
    >>> options_of({}, table), options_of({"fit_weight": 0.1}, table)
    ({'fit': 'mean'}, {'fit': 'other'})
    """

    def value(name: str, *given: Mapping[str, Any]) -> Any:
        setting = SETTINGS[name]
        return setting.cast(next((of[name] for of in given if name in of), setting.default))

    found = {}
    for choice, known in choices.items():
        names = {name for chosen in known.values() for name in chosen}
        found[choice] = next(
            (
                option
                for option, chosen in known.items()
                if all(value(name, chosen, default) == value(name, settings) for name in names)
            ),
            "other",
        )
    return found


def one_at_a_time(choices: Choices) -> dict[str, dict[str, Any]]:
    """Return the settings of every option but the default's, the other choices left as they are.

    Their names are made of choice and option.

    Examples
    --------
    >>> table = {"fit": values_of("fit_weight", "mean", {"half the mean": 0.5})}
    >>> one_at_a_time(table)
    {'fit-half-the-mean': {'fit_weight': 0.5}}
    """
    found = {}
    for choice, known in choices.items():
        for option in [*known][1:]:
            name = re.sub("[^a-z0-9]+", "-", f"{choice} {option}".lower()).strip("-")
            found[name] = dict(known[option])
    return found


def draw_options(
    choices: Choices,
    count: int,
    seed: int,
    changes: Changes,
    letter: str,
    wanted: Callable[[dict[str, str]], bool],
) -> dict[str, dict[str, str]]:
    """Return the options by choice of ``count`` sets, under names like ``r001``.

    Parameters
    ----------
    choices : mapping
    count : int
    seed : int
        Of the one stream that all sets are drawn from.
    changes : callable
        Says which choices a set changes, each to any other of its options.
    letter : str
        That names begin with.
    wanted : callable
        Whether the options of a set are to be among those returned; else another set is drawn.

    Examples
    --------
    >>> table = {"fit": values_of("fit_weight", "mean", {"half the mean": 0.5})}
    >>> draw_options(table, 1, 0, lambda rng, n_choices: range(n_choices), "r", bool)
    {'r001': {'fit': 'half the mean'}}
    """
    rng, names = np.random.Generator(np.random.PCG64(seed)), [*choices]
    found: dict[str, dict[str, str]] = {}
    while len(found) < count:
        options = {choice: first_of(known) for choice, known in choices.items()}
        for number in changes(rng, len(choices)):
            others = [*choices[names[number]]][1:]
            options[names[number]] = others[rng.integers(len(others))]
        if wanted(options):
            found[f"{letter}{len(found) + 1:03}"] = options
    return found
