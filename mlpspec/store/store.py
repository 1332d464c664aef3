"""The one source of truth of a results directory: ``study.sqlite``.

One writer, transactions, no pickle. Numbers and arrays read back exactly: floats are JSON with
the shortest text that reads back to the same bits, arrays are bytes in NumPy's ``.npy`` format.
A result is never overwritten; only a failed run is, when it is tried again. Every row carries a
checksum of its content, which is compared whenever it is read. (Stores of schema version 1 lack
them until more is written into them.)
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np

from mlpspec.arrays import Array
from mlpspec.data.datasets import FILE
from mlpspec.data.held import HELD, hold_content
from mlpspec.errors import InputError
from mlpspec.store.database import CONTENT, checksum, connect, create, mend, save
from mlpspec.study.extensions import Definition
from mlpspec.study.run import SETTINGS, Run
from mlpspec.study.settings import file_change
from mlpspec.study.study import Study

UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OSError, EOFError, BadZipFile)
"""What content that mlpspec did not write raises."""


@dataclass(frozen=True, eq=False)
class Record:
    """What is kept of one run.

    Attributes
    ----------
    run : Run
    status : str
        ``ok``; ``diverged``: it left the finite numbers, which is a result; ``failed``: it
        raised, and the next session tries it again.
    x : (N, D)
    y : (N,)
    params : (P,)
        Final parameters, flat; see `mlpspec.network.neurons.Params.flatten`.
    measurements : dict of str to float
    curve : dict of str to array, optional
    error : str, optional
        Traceback of a failed run, which has no arrays.

    Examples
    --------
    >>> record = Record(Run(), "failed", error="Traceback: ...")
    >>> record.run.label, record.params is None
    ('baseline', True)
    """

    run: Run
    status: str
    x: Array | None = None
    y: Array | None = None
    params: Array | None = None
    measurements: dict[str, float] = field(default_factory=dict)
    curve: dict[str, Array] | None = None
    error: str | None = None


def settings_apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two identities (`Study.identity`) differ, with both values.

    Examples
    --------
    >>> settings_apart({"settings": {"steps": 50}}, {"settings": {"weight": 0.1}})
    {'steps': (50, 3000)}
    """
    both = {
        name: tuple(of["settings"].get(name, setting.default) for of in (one, other))
        for name, setting in SETTINGS.items()
    }
    return {name: (a, b) for name, (a, b) in sorted(both.items()) if a != b}


def identity_apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return what else than settings of an identity (`Study.identity`) is not the other's.

    Examples
    --------
    >>> identity_apart({"study": "mine", "axes": ["seed"]}, {"study": "other", "axes": ["seed"]})
    "holds the study 'mine', not 'other'"
    """
    if one["study"] != other["study"]:
        return f"holds the study {one['study']!r}, not {other['study']!r}"
    if one["axes"] != other["axes"]:
        return f"varies {', '.join(one['axes'])}, not {', '.join(other['axes'])}"
    return ""


def extensions_of(sessions: Iterable[Mapping[str, Any]]) -> dict[str, Definition]:
    """Return the losses of one's own that sessions trained with, by name.

    Examples
    --------
    >>> extensions_of([{"study": {"name": "mine"}}])
    {}
    """
    return {
        name: Definition.from_dict(name, content)
        for session in sessions
        for name, content in session["study"].get("extensions", {}).items()
    }


class Store:
    """An open ``study.sqlite``; use `Store.open` or `Store.create`.

    Examples
    --------
    >>> import tempfile
    >>> study = Study("mine", {"seed": (0, 1)}, {"n_samples": 3, "steps": 0})
    >>> x, y, params = np.zeros((3, 1)), np.zeros(3), np.zeros(10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with Store.create(folder, study) as store:
    ...         session = store.begin_session(study, "2026-01-01", {"numpy": "2"})
    ...         store.add([Record(study.runs[0], "ok", x, y, params, {"fit": 0.5})], session)
    ...     with Store.open(folder) as store:
    ...         [(record.run.seed, record.measurements) for record, _ in store.kept().values()]
    [(0, {'fit': 0.5})]
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, version: int) -> None:
        self._db = connection
        self.path = path
        self._version = version
        self._stored: dict[Any, Run] | None = None

    @classmethod
    def open(cls, directory: str | os.PathLike[str], *, write: bool = False) -> Store:
        """Open the store of an existing results directory, by default for reading only.

        Raises
        ------
        InputError
            There is none, or it is damaged, not ours or of another schema version.
        """
        return cls(*connect(directory, write=write))

    @classmethod
    def create(cls, directory: str | os.PathLike[str], study: Study) -> Store:
        """Create the store of a study in a directory, which is made if need be.

        Raises
        ------
        InputError
            The directory cannot be made or written.
        """
        create(directory, study.identity)
        return cls.open(directory, write=True)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def check_study(self, study: Study) -> None:
        """Raise `InputError`, naming what differs, unless the directory belongs to ``study``."""
        stored, asked, trained = self.identity(), study.identity, self.extensions()
        directory, mend = self.path.parent, "give another directory with --out"
        for name, definition in study.extensions.items():
            before = trained.get(name, definition)
            if before != definition:
                content = " (the content of its file has changed)"
                raise InputError(
                    f"{directory} has runs with another loss {name}: {before}, not {definition}"
                    f"{content if before.source != definition.source else ''}; {mend}"
                )
        difference = identity_apart(stored, asked)
        if not difference and (apart := settings_apart(stored, asked)):
            each = ", ".join(f"{name}={made} (asked: {new})" for name, (made, new) in apart.items())
            made = stored["settings"].get("dataset", SETTINGS["dataset"].default)
            difference = f"was made with {each}"
            difference += file_change(study.settings.get("dataset"), made)
            if "dataset" not in apart or not made.startswith(FILE):  # of which no path is known
                again = " ".join(f"{name}={made}" for name, (made, _) in apart.items())
                mend = f"continue it with --set {again}, or {mend}"
        if difference:
            raise InputError(f"{directory} {difference}; {mend}")
        self._check_variants(study)

    def _check_variants(self, study: Study) -> None:
        """Raise `InputError` where a variant had other settings: tables would mix the two."""
        with self._reading():
            known = [v for s in self.sessions() for v in s["study"].get("variants", {}).items()]
        for name, settings in known:
            again = study.variants.get(name, settings)
            runs = {Run(**{**study.settings, **s, "losses": ()}) for s in (settings, again)}
            if len(runs) > 1:
                raise InputError(
                    f"{self.path.parent} has the variant {name} with {settings}, not {again}; "
                    "give it another name, or another directory with --out"
                )

    def identity(self) -> dict[str, Any]:
        """Return the `Study.identity` that the directory belongs to."""
        with self._reading():
            ((text,),) = self.rows("identity")
            identity = json.loads(text)
            return {name: identity[name] for name in ("study", "axes", "settings")}

    def extensions(self) -> dict[str, Definition]:
        """Return the custom losses that its sessions trained with, by name."""
        with self._reading():
            return extensions_of(self.sessions())

    def begin_session(self, study: Study, started: str, provenance: dict[str, Any]) -> int:
        """Note that a session starts to train runs of ``study``; return its number."""
        self._keep(study.held)
        with self._db:
            (last,) = self._db.execute("SELECT MAX(id) FROM sessions").fetchone()
            number = int(last or 0) + 1
            row = [number, started, None, study.to_json(), json.dumps(provenance)]
            self._insert("sessions", row)
        return number

    def _keep(self, contents: Set[str]) -> None:
        """Keep tables and networks that are held in memory, unless they are here."""
        with self._db:
            for content in contents & HELD.keys():
                if not self._datasets(content):  # as merged ones are
                    self._insert("datasets", [content, *map(_to_bytes, HELD[content])])

    def hold(self, contents: Set[str]) -> None:
        """Have those of some tables and networks in memory that are kept here."""
        for content in contents - HELD.keys():
            for first, second in self._datasets(content).values():
                hold_content(content, first, second)

    def end_session(self, session: int, ended: str) -> None:
        """Note when a session ended."""
        ((_, started, _, study, provenance),) = self.rows("sessions", key=session)
        row = [session, started, ended, study, provenance]
        with self._db:
            self._insert("sessions", row, _replace("sessions"))

    def add(self, records: Iterable[Record], session: int) -> None:
        """Keep the results of a batch, all or none. A result that is there stays as it is.

        A run that is stored under another key (`Run.meaning`) keeps that one.
        """
        if self._stored is None:
            self._stored = {meaning: record.run for meaning, (record, _) in self.kept().items()}
        with self._db:
            for record in records:
                described = self._stored.setdefault(record.run.meaning, record.run)
                key, dataset, params = described.key, None, None
                if record.params is not None:
                    x, y, params = (_to_bytes(a) for a in (record.x, record.y, record.params))
                    dataset = sha256(x + y).hexdigest()[:16]
                    self._insert("datasets", [dataset, x, y], "ON CONFLICT DO NOTHING")
                measurements = {
                    name: None if math.isnan(value) else value
                    for name, value in record.measurements.items()
                }
                run, measured = json.dumps(described.to_dict()), json.dumps(measurements)
                row = [key, run, record.status, session, dataset, params, measured, record.error]
                self._insert("runs", row, f"{_replace('runs')} WHERE status = 'failed'")
                if record.curve is not None:
                    buffer = io.BytesIO()
                    np.savez(buffer, **cast(dict[str, Any], record.curve))
                    self._insert("curves", [key, buffer.getvalue()], "ON CONFLICT DO NOTHING")

    def _insert(self, table: str, row: Sequence[Any], conflict: str = "") -> None:
        marks = ", ".join("?" * (len(row) + 1))
        self._db.execute(f"INSERT INTO {table} VALUES ({marks}) {conflict}", [*row, checksum(row)])

    def restore(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        """Put rows of another store, the `CONTENT` of a table, into this one, all or none."""
        with self._db:
            for row in rows:
                self._insert(table, row)

    def freeze(self) -> None:
        """Read from now on what is stored now, whatever another command adds meanwhile."""
        self._db.execute("BEGIN")

    def status(self) -> dict[str, str]:
        """Return the status of every run that was tried, by key."""
        return {row[0]: row[2] for row in self.rows("runs")}

    def kept(self) -> dict[Any, tuple[Record, list[str]]]:
        """Return what counts of each run, by its `Run.meaning`, without arrays and curve.

        Second are the keys of what does not count: older versions could store a run again, under
        the key of another form of its settings. A result counts before a failure, then that of
        the earlier session, then that of the smaller key.
        """
        kept: dict[Any, tuple[Record, list[str]]] = {}
        found = dict(self.rows("runs", lambda row: (_rank(row), _described(row))))
        for rank in sorted(found):
            record = found[rank]
            first, others = kept.setdefault(record.run.meaning, (record, []))
            others += [rank[2]] if first is not record else []
        return kept

    def record(self, key: str) -> Record:
        """Return one run with its arrays and curve.

        Raises
        ------
        InputError
            There is no such run, it failed and has no arrays, or what is stored is damaged.
        """
        row = next(self.rows("runs", key=key), None)
        if row is None:
            raise InputError(f"{self.path.parent} has no run {key!r}; keys are in runs.csv")
        _, _, status, _, dataset, params, _, _ = row
        if params is None:
            raise InputError(f"run {key} {status} and has no weights; run the study again")
        curve = None
        with self._reading():
            x, y = self._datasets(dataset)[dataset]
            for _, arrays in self.rows("curves", key=key):
                with np.load(io.BytesIO(arrays), allow_pickle=False) as archive:
                    curve = dict(archive)
            flat = _from_bytes(params, 1)
            return replace(_described(row), x=x, y=y, params=flat, curve=curve)

    def curves(self) -> set[str]:
        """Return the keys of the runs that have a curve."""
        return {key for (key,) in self._db.execute("SELECT key FROM curves")}

    def arrays(self) -> dict[str, tuple[Array, Array, Array]]:
        """Return final parameters (P,), inputs (N, D) and targets (N,) by key, of runs with any."""
        datasets = self._datasets()
        found = {}
        for key, dataset, params in self.rows("runs", _final):
            if params is not None:
                if dataset not in datasets:
                    directory = self.path.parent
                    raise InputError(f"{directory} lacks the data of run {key}; {save(directory)}")
                found[key] = params, *datasets[dataset]
        return found

    def _datasets(self, key: str | None = None) -> dict[str, tuple[Array, Array]]:
        """Return inputs (N, D) and targets (N,) by the key of the data: all, or one."""
        return dict(self.rows("datasets", _dataset, key))

    def sessions(self) -> list[dict[str, Any]]:
        """Return all sessions: id, started, ended, study, runs trained, and their provenance."""
        runs = dict(self._db.execute("SELECT session, COUNT(*) FROM runs GROUP BY session"))

        def session(row: list[Any]) -> dict[str, Any]:
            number, started, ended, study, provenance = row
            about = {"session": number, "started": started, "ended": ended}
            about |= {"runs": runs.get(number, 0), "study": json.loads(study)}
            return about | dict(json.loads(provenance))

        return [*self.rows("sessions", session)]

    def rows(
        self,
        table: str,
        decoded: Callable[[list[Any]], Any] = list,
        key: str | int | None = None,
    ) -> Iterator[Any]:
        """Iterate over the `CONTENT` of a table, or of one key in it, comparing checksums.

        Each row is given as it is ``decoded``, by default as it is.

        Raises
        ------
        InputError
            A row does not fit its checksum, or what mlpspec did not write.
        """
        where, given = "", []
        if key is not None:
            where, given = f"WHERE {CONTENT[table][0]} = ?", [key]
        checked = self._version > 1
        columns = ", ".join([*CONTENT[table], *(["checksum"] if checked else [])])
        for row in self._db.execute(f"SELECT {columns} FROM {table} {where}", given):
            content = list(row[: len(CONTENT[table])])
            if checked and row[-1] != checksum(content):
                name = table if table == "identity" else f"{table.removesuffix('s')} {content[0]}"
                raise self._damaged(f"{name} does not fit its checksum")
            with self._reading():
                row = decoded(content)
            yield row

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Tell of content that mlpspec cannot have written."""
        try:
            yield
        except InputError:
            raise
        except UNREADABLE as error:
            raise self._damaged(f"it holds what mlpspec did not write ({error})") from None

    def _damaged(self, what: str) -> InputError:
        return InputError(f"{self.path} is damaged: {what}; {mend(self.path)}")


def _dataset(row: Sequence[Any]) -> tuple[str, tuple[Array, Array]]:
    """Return the key of data, and inputs (N, D) and targets (N,)."""
    inputs, targets = _from_bytes(row[1], 2), _from_bytes(row[2], 1)
    if len(inputs) != len(targets):
        raise ValueError(f"{len(inputs)} inputs and {len(targets)} targets")
    return row[0], (inputs, targets)


def _final(row: Sequence[Any]) -> tuple[str, str, Array | None]:
    """Return key, key of the data and final parameters of a run, if it has any."""
    return row[0], row[4], None if row[5] is None else _from_bytes(row[5], 1)


def _rank(row: Sequence[Any]) -> tuple[bool, int, str]:
    """Return what tells which of several results of a run counts: the least; see `Store.kept`."""
    return row[2] == "failed", int(row[3]), str(row[0])


def _described(row: Sequence[Any]) -> Record:
    """Return the run of a row, without its arrays and curve."""
    _, run, status, _, _, _, measurements, error = row
    values = {name: _measurement(value) for name, value in json.loads(measurements).items()}
    if not isinstance(error, str | None):
        raise TypeError("an error that is no text")
    return Record(Run(**json.loads(run)), status, measurements=values, error=error)


def _replace(table: str) -> str:
    """Return the clause by which a row takes the place of the one with its key."""
    columns = (*CONTENT[table][1:], "checksum")
    return f"ON CONFLICT DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in columns)}"


def _to_bytes(array: Array | None) -> bytes:
    assert array is not None
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _from_bytes(content: bytes, n_axes: int) -> Array:
    """Return the array, which must be of numbers and have as many axes."""
    array: Array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.kind != "f" or array.ndim != n_axes:
        raise ValueError(f"an array of {array.dtype} {array.shape}")
    return array


def _measurement(value: Any) -> float:
    if value is None:
        return math.nan
    if not isinstance(value, int | float) or (isinstance(value, int) and abs(value) >= 2**63):
        raise ValueError(f"{value!r} for a measurement")
    return value + 0
