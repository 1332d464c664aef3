"""Joining the runs of several results directories into a new one, run by run by their keys.

The sources are only read. Rows are taken as they are, with their sessions; a last session, which
trained nothing, says what was merged, and has the study that all of them together are about.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from mlpspec.errors import InputError
from mlpspec.store.database import check_new, checksum, create, has_store, made_whole, save
from mlpspec.store.packed import exists
from mlpspec.store.results import Results, study_of
from mlpspec.store.store import Store, identity_apart, settings_apart
from mlpspec.study.run import EXTENDABLE, SETTINGS
from mlpspec.study.study import Study
from mlpspec.training.engine import used_in

MOST_NAMED = 3
"""Runs that a message names."""

MADE_WITH = ("mlpspec", "engine", "numpy", "scipy", "numba", "llvmlite", "processor")
"""What the bits of a result depend on, of a session's provenance."""


@dataclass(frozen=True)
class Merged:
    """What `merge` made of one study.

    Attributes
    ----------
    folder : Path
        Of the study, in the new directory: ``.``, or the folder of a companion.
    runs : dict of Path to int
        How many each source gave.
    repeated : int
        Runs that more than one source has.
    preferred : list of str
        Keys of runs of which sources have other bits; those of the first were taken.
    missing : int
        Runs of the joined study that no source has a result of.
    apart : list of str
        What the sources were made with, where they differ.

    Examples
    --------
    >>> merged = Merged(Path("."), {Path("a"): 40, Path("b"): 39}, 1, [], 0, [])
    >>> sum(merged.runs.values())
    79
    """

    folder: Path
    runs: dict[Path, int]
    repeated: int
    preferred: list[str]
    missing: int
    apart: list[str]


def merge(
    directories: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    prefer_first: bool = False,
    about: Mapping[str, Any] | None = None,
) -> list[Merged]:
    """Write the runs of several results directories of one study into a new one.

    Studies in folders inside the sources are merged as well. A result counts before a failure.

    Parameters
    ----------
    directories : sequence of path
    out : path
        Of a new directory, outside the others; it is whole, or not there.
    prefer_first : bool
        Of runs with other bits in several sources take those of the first.
    about : mapping, optional
        Provenance of the session that stands for the merging.

    Returns
    -------
    list of Merged
        One for every study, the main one first.

    Raises
    ------
    InputError
        Fewer than two directories, one that cannot be read, studies that do not fit each other,
        runs with other bits, or an ``out`` that is there or inside a source.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a", "b"):
    ...         Store.create(f"{folder}/{name}", Study("mine", {"seed": (0, 1)})).close()
    ...     (merged,) = merge([f"{folder}/a", f"{folder}/b"], f"{folder}/c")
    >>> str(merged.folder), list(merged.runs.values())
    ('.', [0, 0])
    """
    places = [Path(directory) for directory in directories]
    if len(places) < 2:
        raise InputError("a merge needs two results directories or more")
    check_new(out)
    seen: dict[Path, Path] = {}
    for place in places:
        whole = place.resolve()
        if whole in seen:
            raise InputError(f"{place} is given twice; name each directory once")
        if Path(out).resolve().is_relative_to(whole):
            raise InputError(f"{out} lies inside {place}, which is only read; give another --out")
        seen[whole] = place
    inside = {place: {Path(): True, **folders_inside(place)} for place in places}
    done = []
    with made_whole(out) as draft:
        for folder in dict.fromkeys(folder for stored in inside.values() for folder in stored):
            sources = [place / folder for place, stored in inside.items() if stored.get(folder)]
            if sources:
                done.append(_merge_study(folder, sources, draft / folder, prefer_first, about))
    return done


def folders_inside(directory: Path) -> dict[Path, bool]:
    """Return the folders of studies inside a results directory, and which of them have a store.

    They are relative to it; those without a store have tables alone.

    Examples
    --------
    >>> folders_inside(Path("there", "is", "nothing"))
    {}
    """
    found: dict[Path, bool] = {}

    def search(folder: Path, above: tuple[Path, ...]) -> None:
        here = directory / folder
        for path in sorted(here.iterdir()) if here.is_dir() else ():
            whole, stored = path.resolve(), has_store(path)
            # A link may lead up again.
            if (stored or exists(path / "runs.csv")) and whole not in above:
                found[folder / path.name] = stored
                search(folder / path.name, (*above, whole))

    search(Path(), (directory.resolve(),))
    return found


def _merge_study(
    folder: Path,
    places: Sequence[Path],
    draft: Path,
    prefer_first: bool,
    about: Mapping[str, Any] | None,
) -> Merged:
    """Merge the stores of ``places`` into a new one in ``draft``."""
    with contextlib.ExitStack() as stack:
        stores = [stack.enter_context(Store.open(place)) for place in places]
        for store in stores:
            store.freeze()
        _check_identities(places, stores)
        sessions = {place: s.sessions() for place, s in zip(places, stores, strict=True)}
        texts = {json.dumps(s["study"]): place for place, of in sessions.items() for s in of}
        study = joined([study_of(json.loads(text), place) for text, place in texts.items()])
        source, repeated, preferred = _sources(places, stores, prefer_first)
        create(draft, stores[0].identity())
        with Store.open(draft, write=True) as new:
            renumbered = _copy(places, stores, source, new)
            if study is not None:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                trained = [[s for s in of if s["runs"]] for of in sessions.values()]
                last = next((of[-1] for of in trained if of), {})  # whose engine goes on
                engine = {"engine": used_in(last)} if last else {}
                provenance = {**(about or {}), **engine, "merged": renumbered}
                provenance |= {"preferred": preferred} if preferred else {}
                new.end_session(new.begin_session(study, now, provenance), now)
    results = Results(draft)
    results.write_tables()
    status = results.status
    asked = results.keys_of(study.runs) if study is not None else []
    counts = [*source.values()]
    return Merged(
        folder,
        {place: counts.count(number) for number, place in enumerate(places)},
        repeated,
        preferred,
        sum(status.get(key, "failed") == "failed" for key in asked),
        differing({str(place): made_with(of) for place, of in sessions.items()}),
    )


def _check_identities(places: Sequence[Path], stores: Sequence[Store]) -> None:
    """Raise `InputError` unless all stores belong to studies of one identity, and of one loss."""
    first, wanted, losses = places[0], stores[0].identity(), stores[0].extensions()
    for place, store in zip(places[1:], stores[1:], strict=True):
        found = store.identity()
        refused = f"{place} cannot be merged with {first}"
        apart = identity_apart(found, wanted)
        if not apart and (differ := settings_apart(found, wanted)):
            each = (f"{name}={made}, not {asked}" for name, (made, asked) in differ.items())
            apart = f"was made with {', '.join(each)}"
        if apart:
            raise InputError(f"{refused}: it {apart}")
        for name, definition in store.extensions().items():
            if losses.setdefault(name, definition) != definition:
                what = f"{definition}, not {losses[name]}"
                raise InputError(f"{refused}: its loss {name} is {what}")


def joined(studies: Sequence[Study]) -> Study | None:
    """Return the study that has the axes' values, losses and variants of all of them.

    All are of one identity; without any there is none.

    Raises
    ------
    InputError
        A variant has other settings in another study, or two are the same.

    Examples
    --------
    >>> first = Study("mine", {"seed": (5, 6), "n_samples": (3,)}, {"steps": 9})
    >>> joined([first, first.replace(seed=(6, 7))]).axes["seed"]
    (5, 6, 7)
    """
    if not studies:
        return None
    axes: dict[str, tuple[Any, ...]] = {}
    for name in dict.fromkeys([*(name for study in studies for name in study.axes), *EXTENDABLE]):
        setting = SETTINGS[name]
        values = {
            setting.meaning(value): value
            for study in studies
            for value in study.axes.get(name, (study.settings.get(name, setting.default),))
        }
        if len(values) > 1 or any(name in study.axes for study in studies):
            axes[name] = tuple(values.values())
    variants: dict[str, Mapping[str, Any]] = {}
    losses: dict[str, Any] = {}
    starts: dict[str, str] = {}
    for study in studies:
        losses |= study.extensions
        starts |= study.starts
        for name, settings in study.variants.items():
            if variants.setdefault(name, settings) != settings:
                raise InputError(
                    f"the variant {name} has the settings {settings} in one directory and "
                    f"{variants[name]} in another; they cannot be merged"
                )
    first = studies[0]
    settings = {name: value for name, value in first.settings.items() if name not in axes}
    return Study(first.name, axes, settings, first.question, losses, variants, starts)


def _sources(
    places: Sequence[Path], stores: Sequence[Store], prefer_first: bool
) -> tuple[dict[str, int], int, list[str]]:
    """Return from which store each run is taken, by key; how many several have; which differ.

    Raises
    ------
    InputError
        Runs have other bits in several stores, and none is preferred.
    """
    source: dict[str, int] = {}
    bits: dict[str, dict[str, Any]] = {}
    several: set[str] = set()
    differ: dict[str, str] = {}
    for number, store in enumerate(stores):
        for key, found in _fingerprints(store, places[number]).items():
            if key not in source:
                source[key], bits[key] = number, found
                continue
            several.add(key)
            before = bits[key]
            if found["status"] == "failed":
                continue
            apart = [name for name in found if found[name] != before[name]]
            adds = apart == ["curve"] and before["curve"] is None
            if before["status"] == "failed" or adds:
                source[key], bits[key] = number, found
            elif apart and not (apart == ["curve"] and found["curve"] is None):
                where = f"{places[source[key]]} and {places[number]}"
                differ.setdefault(key, f"{where} in {', '.join(apart)}")
    if differ and not prefer_first:
        named = []
        for key in list(differ)[:MOST_NAMED]:
            run = stores[source[key]].record(key).run
            place = f"{run.label}, N = {run.n_samples}, seed {run.seed}"
            named.append(f"{key} ({place}) between {differ[key]}")
        more = f"; and {len(differ) - MOST_NAMED} more" if len(differ) > MOST_NAMED else ""
        raise InputError(
            f"other bits in {len(differ)} runs: {'; '.join(named)}{more}. `mlpspec diff` says how "
            "far apart they are, --prefer first takes those of the directory that is named first"
        )
    return source, len(several), [*differ]


def _fingerprints(store: Store, place: Path) -> dict[str, dict[str, Any]]:
    """Return what stands for the bits of each run, by key; time is no part of them."""
    curves = {key: _digest(arrays) for key, arrays in store.rows("curves")}
    datasets = {key for key, _, _ in store.rows("datasets")}
    sessions = {number for number, *_ in store.rows("sessions")}
    found = {}
    for key, _, status, session, dataset, params, measured, _ in store.rows("runs"):
        if session not in sessions or (dataset is not None and dataset not in datasets):
            lacking = "session" if session not in sessions else "data"
            raise InputError(f"{place} lacks the {lacking} of run {key}; {save(place)}")
        numbers = json.loads(measured)
        numbers.pop("seconds", None)
        found[key] = {
            "status": status,
            "data": dataset,
            "final parameters": params and checksum([params]),
            "measurements": json.dumps(numbers, sort_keys=True),
            "curve": curves.get(key),
        }
    return found


def _digest(arrays: bytes) -> str:
    """Return what stands for the arrays of a curve, however they were compressed."""
    with np.load(io.BytesIO(arrays), allow_pickle=False) as archive:
        content = {name: archive[name] for name in sorted(archive)}
    return checksum(
        part for name, a in content.items() for part in (name, a.dtype.str, a.shape, a.tobytes())
    )


def _copy(
    places: Sequence[Path], stores: Sequence[Store], source: Mapping[str, int], new: Store
) -> dict[str, list[int]]:
    """Copy all sessions, and every run from its source, with its data and its curve.

    Returns the numbers that the sessions of each place have in the new store.
    """
    copied: set[str] = set()
    numbers = itertools.count(1)
    renumbered: dict[str, list[int]] = {}
    for at, (place, store) in enumerate(zip(places, stores, strict=True)):
        sessions = {row[0]: [next(numbers), *row[1:]] for row in store.rows("sessions")}
        renumbered[str(place)] = [row[0] for row in sessions.values()]
        datasets = {row[0]: row for row in store.rows("datasets") if row[0] not in copied}
        copied |= datasets.keys()
        taken = (row for row in store.rows("runs") if source[row[0]] == at)
        new.restore("sessions", sessions.values())
        new.restore("datasets", datasets.values())
        new.restore("runs", ([*row[:3], sessions[row[3]][0], *row[4:]] for row in taken))
        new.restore("curves", (row for row in store.rows("curves") if source[row[0]] == at))
    return renumbered


def made_with(sessions: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return what sessions that trained anything did it with: engine, versions, processors.

    Examples
    --------
    >>> made_with([{"runs": 3, "numpy": "2.1.0"}, {"runs": 1, "numpy": "2.2.0"}, {"runs": 0}])
    {'engine': 'numpy', 'numpy': '2.1.0 and 2.2.0'}
    """
    trained = [{**s, "engine": used_in(s)} for s in sessions if s["runs"]]
    values = {
        name: dict.fromkeys(str(s[name]) for s in trained if s.get(name)) for name in MADE_WITH
    }
    return {name: " and ".join(of) for name, of in values.items() if of}


def differing(made: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return in which things of `made_with` directories differ, a line for each thing.

    Examples
    --------
    >>> differing({"a": {"engine": "numpy", "numpy": "2.1.0"}, "b": {"engine": "compiled"}})
    ['engine numpy in a, compiled in b']
    """
    lines = []
    for name in MADE_WITH:
        values = {place: of[name] for place, of in made.items() if name in of}
        if len({*values.values()}) > 1:
            lines.append(f"{name} " + ", ".join(f"{v} in {place}" for place, v in values.items()))
    return lines
