"""Reading a results directory, and the tables that are derived from it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlpspec.arrays import Array
from mlpspec.errors import InputError, needed
from mlpspec.metrics.statistics import defined, hill_index, summaries
from mlpspec.network.neurons import PROTOTYPE_EPS, Params, RadialParams, RidgeParams, neuron_of
from mlpspec.store.database import save
from mlpspec.store.store import Record, Store
from mlpspec.store.tables import Table, measurement_names, own_starts, replacing, write_csv
from mlpspec.store.views import Views
from mlpspec.study.run import SETTINGS, Run
from mlpspec.study.study import Study
from mlpspec.study.subsets import subset_order
from mlpspec.training.trainer import Curve

DERIVED = ("runs.csv", "summary.csv", "provenance.json")
"""Files that follow from the store."""


class Results(Views):
    """A results directory, read from its store.

    Parameters
    ----------
    directory : path

    Attributes
    ----------
    repeats : dict of str to str
        The key that counts, by each key under which an older version stored the run again; no
        table, figure or claim knows of the latter.

    Raises
    ------
    ValueError
        It is not a results directory, or its store is damaged or of another version.

    Examples
    --------
    >>> import tempfile
    >>> from mlpspec import run_study, studies
    >>> study = studies.paper().replace(n_samples=(3,), seed=(0,), steps=10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     results = run_study(study, folder, n_jobs=1)
    ...     params = results.params(results.table["key"][0])
    >>> results.table["losses"][:3].tolist(), set(results.status.values())
    (['baseline', 'coverage', 'separation'], {'ok'})
    >>> params.prototypes.shape
    (1, 3, 1)
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        with Store.open(directory) as store:
            self.identity = store.identity()
            self.sessions = store.sessions()
            kept = store.kept()
            self._curves = store.curves()
            store.hold(set[str]().union(*(record.run.held for record, _ in kept.values())))
        records = [record for record, _ in kept.values()]
        self._records = sorted(records, key=lambda record: _canonical_order(record.run))
        self.repeats = {key: record.run.key for record, others in kept.values() for key in others}

    def __repr__(self) -> str:
        return f"<Results {self.identity['study']} in {self.directory}: {len(self.runs)} runs>"

    @property
    def last_session(self) -> dict[str, Any]:
        """The last session, which trained runs or merged those of several directories."""
        if not self.sessions:
            raise InputError(f"{self.directory} holds no session yet; run the study again")
        return self.sessions[-1]

    @property
    def study(self) -> Study:
        """The study as the last session was asked for it."""
        return study_of(self.last_session["study"], self.directory)

    def keys_of(self, runs: Iterable[Run]) -> list[str]:
        """Return the keys under which runs are stored; those that are missing have their own."""
        stored = {record.run.meaning: record.run.key for record in self._records}
        return [stored.get(run.meaning, run.key) for run in runs]

    @cached_property
    def runs(self) -> dict[str, Run]:
        """All runs that were tried, by key, in canonical order."""
        return {record.run.key: record.run for record in self._records}

    @cached_property
    def variants(self) -> dict[str, str]:
        """The names of the runs' variants, by key, as the last session names them."""
        found: dict[str, str] = {}
        for described in {json.dumps(session["study"]): None for session in self.sessions}:
            if '"variants": {"' in described:
                found |= study_of(json.loads(described), self.directory).variant_of
        return found

    @cached_property
    def table(self) -> Table:
        """One-dimensional arrays with one entry a run, in canonical order.

        ``key``, ``variant`` where the study has some, the fields of `Run` (``losses`` as a label,
        ``n_hidden`` resolved to K, of a file its content; settings of later versions where a run
        sets them or they are an axis), ``status`` and the measurements, which are NaN for failed
        runs and where they are undefined (whatever is stored that is not finite).
        """
        table: dict[str, list[Any]] = {"key": [record.run.key for record in self._records]}
        if self.variants:
            table["variant"] = [self.variants.get(key, "") for key in table["key"]]
        for name in SETTINGS:
            meaning = SETTINGS[name].meaning
            values = [meaning(getattr(record.run, name)) for record in self._records]
            wanted = not SETTINGS[name].later or name in self.identity["axes"]
            if wanted or {*values} != {SETTINGS[name].default}:
                table[name] = values
        table["losses"] = [record.run.label for record in self._records]
        table["n_hidden"] = [record.run.hidden_units for record in self._records]
        if "separation_temperature" in table:
            table["separation_temperature"] = [r.run.tau_of_separation for r in self._records]
        table["status"] = [record.status for record in self._records]
        columns = {name: np.array(values) for name, values in table.items()}
        for name in dict.fromkeys(name for r in self._records for name in r.measurements):
            columns[name] = defined([r.measurements.get(name, np.nan) for r in self._records])
        if "steps_taken" in columns and not np.isnan(columns["steps_taken"]).any():
            columns["steps_taken"] = columns["steps_taken"].astype(int)
        return columns

    @property
    def status(self) -> dict[str, str]:
        """``ok``, ``diverged`` or ``failed``, by key."""
        return {record.run.key: record.status for record in self._records}

    @property
    def errors(self) -> dict[str, str]:
        """Tracebacks of the failed runs, by key."""
        return {r.run.key: r.error for r in self._records if r.error is not None}

    def _record(self, key: str) -> Record:
        with Store.open(self.directory) as store:
            return store.record(key)

    def params(self, key: str) -> Params:
        """Return the final parameters of a run, R = 1.

        Raises
        ------
        ValueError
            There is no such run, or it failed.
        """
        record = self._record(key)
        assert record.params is not None
        return neuron_of(record.run.neuron).unflatten(record.params[None], record.run.n_inputs)

    def dataset(self, key: str) -> tuple[Array, Array]:
        """Return the inputs (1, N, D) and targets (1, N) that a run was trained on.

        Raises
        ------
        ValueError
            There is no such run, or it failed.
        """
        record = self._record(key)
        assert record.x is not None
        assert record.y is not None
        return record.x[None], record.y[None]

    def records(self, keys: Iterable[str]) -> Iterator[Record]:
        """Iterate over runs with their arrays and curves; the store is opened once.

        Raises
        ------
        ValueError
            There is no such run, or it failed.

        Examples
        --------
        >>> import tempfile
        >>> from mlpspec import run_study, studies
        >>> study = studies.paper().replace(n_samples=(3,), seed=(0,), steps=10)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     results = run_study(study, folder, n_jobs=1)
        ...     first, *_ = results.records(results.runs)
        >>> first.curve["steps"]
        array([ 0,  1,  2,  3,  4,  5,  6,  7,  8, 10])
        """
        with Store.open(self.directory) as store:
            yield from map(store.record, keys)

    def has_curve(self, key: str) -> bool:
        """Return whether anything was recorded of a run while it trained."""
        return key in self._curves

    def curve(self, key: str) -> Curve:
        """Return what was recorded of a run while it trained.

        Raises
        ------
        ValueError
            There is no such run, it failed, or nothing was recorded while it trained.
        """
        record = self._record(key)
        if record.curve is None:
            raise InputError(f"run {key} has no curve; train with record=log")
        arrays = dict(record.curve)
        steps, flat = arrays.pop("steps"), arrays.pop("params")
        params = neuron_of(record.run.neuron).unflatten(flat, record.run.n_inputs)
        return Curve(steps, arrays, params)

    def summary(self) -> Table:
        """Return the statistics of every measurement in every group of runs that ended ``ok``.

        A group shares all fields that vary, but for the seed, starts of one seed each, and what
        affects the recording alone.
        ``runs`` counts all of its runs, ``count`` the defined values of those that ended ``ok``, on
        which the rest is based; ``std`` is the sample's (n - 1), quartiles interpolate linearly.
        ``heavy_tail`` is yes where the Hill index is below 2, so that the mean says little.
        """
        table = self.table
        varying = {
            name
            for name in SETTINGS
            if name != "seed"
            and not (name == "start" and own_starts(table))
            and SETTINGS[name].changes_result
            and len({SETTINGS[name].meaning(getattr(run, name)) for run in self.runs.values()}) > 1
        }
        groups = [name for name in ("variant",) if name in table]
        groups += [name for name in SETTINGS if name in {"losses", "n_samples", *varying}]
        members: dict[tuple[Any, ...], list[int]] = {}
        for row, label in enumerate(zip(*(table[name].tolist() for name in groups), strict=True)):
            members.setdefault(label, []).append(row)
        names = measurement_names(table)
        measured = np.array([table[name] for name in names], dtype=float)
        measured = measured.reshape(len(names), len(self.runs))  # also where nothing was measured
        lines: list[dict[str, Any]] = []
        for label, rows in members.items():
            good = [row for row in rows if table["status"][row] == "ok"]
            lines += [
                dict(zip(groups, label, strict=True))
                | {"measurement": name, "runs": len(rows)}
                | statistics
                for name, statistics in zip(names, _statistics(measured[:, good]), strict=True)
            ]
        columns = lines[0] if lines else {}
        return {name: np.array([line[name] for line in lines]) for name in columns}

    def write_tables(self) -> None:
        """Write ``runs.csv``, ``summary.csv`` and ``provenance.json`` into the directory."""
        self.whole("the tables")
        write_csv(self.directory / "runs.csv", self.table)
        write_csv(self.directory / "summary.csv", self.summary())
        with replacing(self.directory / "provenance.json") as file:
            json.dump({**self.identity, "sessions": self.sessions}, file, indent=1)
            file.write("\n")

    def export(self, format: str) -> list[Path]:
        """Write the results in another format into the directory; return the files.

        ``csv``: `write_tables`. ``parquet`` (needs the extra of that name): ``runs.parquet``.
        ``npz``: ``weights.npz``, with, for every shape of run, arrays such as
        ``n10_k10_d1/hidden_weight`` (R, K, D), ``.../x`` (R, N, D), ``.../y`` and ``.../key``;
        ``_radial`` follows the shape of radial neurons, and ``_epsilon0.01`` that of ridges with
        such an epsilon.

        Raises
        ------
        ValueError
            An unknown format, or a package that is missing.
        """
        self.whole("exported files")
        if format == "csv":
            self.write_tables()
            return [self.directory / "runs.csv", self.directory / "summary.csv"]
        if format == "parquet":
            pyarrow = needed("pyarrow", "parquet", "parquet needs pyarrow")
            path = self.directory / "runs.parquet"
            with replacing(path, binary=True) as file:
                import_module("pyarrow.parquet").write_table(pyarrow.table(self.table), file)
            return [path]
        if format == "npz":
            arrays: dict[str, Any] = {}
            for keys, params, x, y in self.stacks():
                prefix = f"n{x.shape[1]}_k{params.shape[1]}_d{x.shape[2]}"
                prefix += "_radial" if isinstance(params, RadialParams) else ""
                if isinstance(params, RidgeParams) and params.EPSILON != PROTOTYPE_EPS:
                    prefix += f"_epsilon{params.EPSILON!r}"
                for name, value in {"key": keys, **vars(params), "x": x, "y": y}.items():
                    arrays[f"{prefix}/{name}"] = value
            path = self.directory / "weights.npz"
            with replacing(path, binary=True) as file:
                np.savez(file, **arrays)
            return [path]
        raise InputError(f"format is {format!r}; it must be one of csv, parquet, npz")

    def stacks(self) -> list[Stack]:
        """Return the weights and data of all runs that have any, those of one shape together."""
        with Store.open(self.directory) as store:
            arrays = store.arrays()
        shapes: dict[tuple[int, int, int, str], list[str]] = {}
        for key, run in self.runs.items():
            if key in arrays:
                # The size says K: that of a compressed network is not the trained one's.
                shape = (run.n_samples, arrays[key][0].size, run.n_inputs, run.neuron)
                shapes.setdefault(shape, []).append(key)
        stacks = []
        for (_, _, n_inputs, neuron), keys in shapes.items():
            flat, x, y = (np.stack(of) for of in zip(*(arrays[k] for k in keys), strict=True))
            stacks.append(Stack(np.array(keys), neuron_of(neuron).unflatten(flat, n_inputs), x, y))
        return stacks


def _statistics(measured: Array) -> Iterator[dict[str, Any]]:
    """Iterate over the statistics of the rows of (M, n), which are of their defined values."""
    found = summaries(measured)
    for values, *numbers in zip(measured, *found.values(), strict=True):
        heavy = "yes" if hill_index(values) < 2.0 else "no"
        yield {**dict(zip(found, numbers, strict=True)), "heavy_tail": heavy}


class Stack(NamedTuple):
    """Runs of one shape and one type of neuron: keys (R,), params, x (R, N, D) and y (R, N).

    Examples
    --------
    >>> import tempfile
    >>> from mlpspec import run_study, studies
    >>> study = studies.paper().replace(n_samples=(3,), seed=(0,), steps=10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (stack,) = run_study(study, folder, n_jobs=1).stacks()
    >>> stack.keys.shape, stack.params.shape, stack.x.shape
    ((8,), (8, 3, 1), (8, 3, 1))
    """

    keys: NDArray[np.str_]
    params: Params
    x: Array
    y: Array


def study_of(described: Mapping[str, Any], directory: Path) -> Study:
    """Return the study of a session, one of `Results.sessions`, in a directory.

    Raises
    ------
    InputError
        It is none.

    Examples
    --------
    >>> study_of({"name": "mine", "axes": {"seed": [0, 1]}}, Path("runs/mine")).name
    'mine'
    """
    try:
        return Study(**described)
    except TypeError as error:
        reason = f"a session of {directory} is damaged: {error}"
        raise InputError(f"{reason}; {save(directory)}") from None


def load(directory: str | os.PathLike[str]) -> Results:
    """Return the results in a directory.

    Raises
    ------
    ValueError
        It is not a results directory, or its store is damaged or of another version.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Store.create(folder, Study("mine", {"seed": (0, 1)})).close()
    ...     results = load(folder)
    >>> results.identity["study"], results.sessions
    ('mine', [])
    """
    return Results(directory)


def _canonical_order(run: Run) -> tuple[Any, ...]:
    """Return what puts runs in canonical order: size, subset, settings, seed."""
    settings = run.to_dict()
    settings.pop("definitions", None)
    first = settings.pop("n_samples"), subset_order(settings.pop("losses"))
    seed = settings.pop("seed")
    return (*first, *(-1 if value is None else value for value in settings.values()), seed)
