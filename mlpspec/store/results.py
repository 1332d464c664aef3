"""A results directory, read from its store."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from functools import cached_property
from importlib import import_module
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mlpspec.arrays import Array
from mlpspec.errors import InputError, import_extra
from mlpspec.network.neurons import PROTOTYPE_EPS, Params, RadialParams, RidgeParams, neuron_of
from mlpspec.shown import counted, html_of
from mlpspec.store import tables
from mlpspec.store.database import save
from mlpspec.store.store import Record, Store
from mlpspec.store.tables import Table, measurement_names, replacing, varying, write_csv
from mlpspec.study.ends import hold, size_and_seed
from mlpspec.study.run import Run
from mlpspec.study.study import Study
from mlpspec.training.trainer import Curve

if TYPE_CHECKING:
    import pandas
    import xarray

DERIVED = ("runs.csv", "summary.csv", "provenance.json")
"""Files that follow from the store."""

EXPORTED = {"parquet": "runs.parquet", "npz": "weights.npz"}
"""The file of each format other than CSV."""

LOOKED_AT = ("reconstruction_error", "usage_ratio", "expelled_fraction", "fit_fvu")
"""Measurements that a notebook shows of results."""

MOST_ROWS = 24
"""Rows of the table that a notebook shows of results."""


class Results:
    """A results directory, read from its store.

    Parameters
    ----------
    directory : path

    Attributes
    ----------
    repeats : dict of str to str
        The key that counts, by each key under which an older version stored the run again; no
        table, figure or claim knows of the latter.
    part : bool
        Whether these are some of the runs of the directory, as `select` leaves them.

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
    ...     key, *_ = results.runs
    ...     params, end = results.params(key), results.end(key)
    ...     first, *_ = results.records(results.runs)
    >>> results.table["losses"][:3].tolist(), set(results.status.values())
    (['baseline', 'coverage', 'separation'], {'ok'})
    >>> params.prototypes.shape, end.partition("@")[0], first.curve["steps"][:3]
    ((1, 3, 1), 'run:ae1706130dfaf4da', array([0, 1, 2]))
    >>> study.replace(start=end, weight=0.3).settings["start"] == end
    True
    >>> results.select(losses=["coverage", "overlap"]).table["losses"].tolist()
    ['coverage', 'overlap']
    >>> results.select(n_samples=4)
    Traceback (most recent call last):
    mlpspec.errors.InputError: no run has n_samples=4; there are 3
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self.part = False
        with Store.open(directory) as store:
            self.identity = store.identity()
            self.sessions = store.sessions()
            kept = store.kept()
            self._curves = store.curves()
            store.hold(set[str]().union(*(record.run.held for record, _ in kept.values())))
        records = [record for record, _ in kept.values()]
        self._records = sorted(records, key=lambda record: tables.canonical_order(record.run))
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

    def select(self, **chosen: Any) -> Self:
        """Return the results of some runs: tables, figures and stacks then know of no others.

        Parameters
        ----------
        **chosen
            Columns of the table that describe runs, such as ``losses`` (labels), ``n_samples``,
            ``seed``, ``variant``, ``status`` or any setting, each with the value or the list of
            values that runs may have.

        Raises
        ------
        ValueError
            A column that does not exist, or a value that no run has.
        """
        part, kept = copy(self), tables.chosen_runs(self.table, chosen)
        for name in ("runs", "variants", "table"):
            vars(part).pop(name, None)  # of all runs
        part._records = list(compress(self._records, kept))
        part.part = True
        return part

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
        for described in {json.dumps(s["study"]): s["study"] for s in self.sessions}.values():
            if isinstance(described, dict) and described.get("variants"):
                found |= study_of(described, self.directory).variant_of
        return found

    @cached_property
    def table(self) -> Table:
        """One-dimensional arrays with one entry a run, in canonical order.

        ``key``, ``variant`` where the study has some, the fields of `Run` (``losses`` as a label,
        ``n_hidden`` resolved to K, of a file its content; settings of later versions where a run
        sets them or they are an axis), ``status`` and the measurements, which are NaN for failed
        runs and where they are undefined (whatever is stored that is not finite).
        """
        return tables.runs_table(self._records, self.variants, self.identity["axes"])

    @property
    def status(self) -> dict[str, str]:
        """``ok``, ``diverged`` or ``failed``, by key."""
        return {record.run.key: record.status for record in self._records}

    @property
    def errors(self) -> dict[str, str]:
        """Tracebacks of the failed runs, by key."""
        return {r.run.key: r.error for r in self._records if r.error is not None}

    def params(self, key: str) -> Params:
        """Return the final parameters of a run, R = 1; of many, `records` or `stacks` is faster.

        Raises
        ------
        ValueError
            There is no such run, or it failed.
        """
        (record,) = self.records([key])
        return _network(record)

    def dataset(self, key: str) -> tuple[Array, Array]:
        """Return the inputs (1, N, D) and targets (1, N) that a run was trained on.

        Raises
        ------
        ValueError
            There is no such run, or it failed.
        """
        (record,) = self.records([key])
        assert record.x is not None
        assert record.y is not None
        return record.x[None], record.y[None]

    def records(self, keys: Iterable[str]) -> Iterator[Record]:
        """Iterate over runs with their arrays and curves; the store is opened once.

        Raises
        ------
        ValueError
            There is no such run, or it failed.
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
        (record,) = self.records([key])
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
        return tables.summary_table(self.table, self.runs.values())

    def end(self, key: str) -> str:
        """Return the description of a run's end, which the settings ``start`` and ``target`` take.

        The parameters are held in memory, and kept by each results directory that needs them.

        Raises
        ------
        ValueError
            There is no such run, it failed, or it diverged.
        """
        return next(self._ends([key]))

    def ends(self) -> dict[str, str]:
        """Return the ends of these runs by N and seed, as `Study.replace` takes them for ``start``.

        Whatever its losses, a run then starts from the end of the run with its N and seed.

        Raises
        ------
        ValueError
            Several runs with one N and seed, or a run that failed or diverged.
        """
        keys: dict[str, str] = {}
        for key, run in self.runs.items():
            place = size_and_seed(run.n_samples, run.seed)
            if keys.setdefault(place, key) != key:
                raise InputError(
                    f"{self.directory} has several runs with {place}; "
                    'choose one for each N and seed, such as results.select(losses="baseline")'
                )
        return dict(zip(keys, self._ends(keys.values()), strict=True))

    def _ends(self, keys: Iterable[str]) -> Iterator[str]:
        for record in self.records(keys):
            run = record.run
            if record.status == "diverged":
                raise InputError(
                    f"run {run.key} of {self.directory} diverged, so that its last parameters are "
                    "no end of a training; give another run"
                )
            yield hold(_network(record), run.key)

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
        if format not in EXPORTED:
            raise InputError(f"format is {format!r}; it must be one of csv, {', '.join(EXPORTED)}")
        path = self.directory / EXPORTED[format]
        with replacing(path, binary=True) as file:
            if format == "parquet":
                pyarrow = import_extra("pyarrow", "parquet", "parquet needs pyarrow")
                import_module("pyarrow.parquet").write_table(pyarrow.table(self.table), file)
            else:
                arrays: dict[str, Any] = {}
                for stack in self.stacks():
                    arrays |= stack.by_name()
                np.savez(file, **arrays)
        return [path]

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

    def whole(self, what: str) -> None:
        """Raise `InputError` if these are not all runs: files of a directory are of all."""
        if self.part:
            raise InputError(
                f"{what} of {self.directory} are of all its runs, and these are some of them; "
                "write the table of these elsewhere, as to_pandas().to_csv(...) does"
            )

    def to_pandas(self) -> pandas.DataFrame:
        """Return the table as a data frame (needs the extra ``pandas``)."""
        pandas = import_extra("pandas", "pandas", "this needs pandas, which is not installed")
        return pandas.DataFrame(self.table)

    def to_xarray(self) -> xarray.Dataset:
        """Return the measurements over the settings that vary (needs the extra ``xarray``).

        Dimensions are ``losses``, ``n_samples``, ``seed`` and what else varies, or ``variant`` in
        place of the settings that follow from it; NaN stands where there is no such run.
        """
        import_extra("xarray", "xarray", "this needs xarray, which is not installed")
        variant = [name for name in ("variant",) if name in self.table]
        further = [*variant, "losses", "n_samples", "seed", *varying(self.table, variant)]
        frame = self.to_pandas().set_index(further)
        whole: xarray.Dataset = frame[measurement_names(self.table)].to_xarray()
        return whole

    def plot(self, name: str, ax: Any = None) -> Any:
        """Return a figure of the report, drawn of these runs in Matplotlib's present style.

        Parameters
        ----------
        name : str
            As the report has it: ``"outcomes"``, ``"hull"``, ``"reconstruction"``, ...
        ax : matplotlib.axes.Axes, optional
            Where to draw a figure that is a single panel, as ``hull`` is of one subset of losses
            (`select`); its figure is returned.

        Returns
        -------
        figure : matplotlib.figure.Figure

        Raises
        ------
        ValueError
            There is no such figure, it cannot be drawn of these runs, or it has more than one
            panel and ``ax`` is given.
        """
        # The one step up, to the room that draws: so that results can be asked for it.
        return import_module("mlpspec.report.plotting").plot(self, name, ax)

    def verdicts(self) -> Any:
        """Return the verdicts on the claims, as the report has them: a list, a table in notebooks.

        Those of a study that is not the grid are none.
        """
        return import_module("mlpspec.report.plotting").verdicts(self)

    def _repr_html_(self) -> str:
        where = f"{'some of ' if self.part else ''}{self.directory}"
        lines = [f"{len(self.runs)} runs in {where}: {counted(self.status.values())}"]
        medians = tables.medians(self.summary(), LOOKED_AT)
        rows = list(zip(*(column.tolist() for column in medians.values()), strict=True))
        lines.append("Medians of the runs that ended ok:" if rows else "Nothing was measured.")
        more = len(rows) - MOST_ROWS
        cut = [(f"... {more} more", *[""] * (len(medians) - 1))] if more > 0 else []
        title = f"Results of {self.identity['study']}"
        return html_of(title, lines, [*medians], rows[:MOST_ROWS] + cut)


def _network(record: Record) -> Params:
    assert record.params is not None
    return neuron_of(record.run.neuron).unflatten(record.params[None], record.run.n_inputs)


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

    def by_name(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by names that begin with their shape, as `Results.export` has them."""
        shape = f"n{self.x.shape[1]}_k{self.params.shape[1]}_d{self.x.shape[2]}"
        if isinstance(self.params, RadialParams):
            shape += "_radial"
        if isinstance(self.params, RidgeParams) and self.params.EPSILON != PROTOTYPE_EPS:
            shape += f"_epsilon{self.params.EPSILON!r}"
        arrays = {"key": self.keys, **vars(self.params), "x": self.x, "y": self.y}
        return {f"{shape}/{name}": array for name, array in arrays.items()}


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
