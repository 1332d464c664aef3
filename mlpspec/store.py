"""The one source of truth of a results directory: ``study.sqlite``.

One writer, transactions, no pickle. Numbers and arrays read back exactly: floats are JSON with
the shortest text that reads back to the same bits, arrays are bytes in NumPy's ``.npy`` format.
A result is never overwritten; only a failed run is, when it is tried again.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np

from mlpspec.errors import InputError
from mlpspec.extensions import Definition
from mlpspec.model import Array
from mlpspec.study import Run, Study

FILE_NAME = "study.sqlite"
SCHEMA_VERSION = 1
_APPLICATION_ID = 0x6D6C7073  # "mlps"

_SCHEMA = """
CREATE TABLE identity (study TEXT NOT NULL);
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    started TEXT NOT NULL,
    ended TEXT,
    study TEXT NOT NULL,
    provenance TEXT NOT NULL
);
CREATE TABLE datasets (key TEXT PRIMARY KEY, x BLOB NOT NULL, y BLOB NOT NULL);
CREATE TABLE runs (
    key TEXT PRIMARY KEY,
    run TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'diverged', 'failed')),
    session INTEGER NOT NULL REFERENCES sessions (id),
    dataset TEXT REFERENCES datasets (key),
    params BLOB,
    measurements TEXT NOT NULL,
    error TEXT
);
CREATE TABLE curves (key TEXT PRIMARY KEY REFERENCES runs (key), arrays BLOB NOT NULL);
"""


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
        Final parameters, flat; see `mlpspec.model.Params.flatten`.
    measurements : dict of str to float
    curve : dict of str to array, optional
    error : str, optional
        Traceback of a failed run, which has no arrays.
    """

    run: Run
    status: str
    x: Array | None = None
    y: Array | None = None
    params: Array | None = None
    measurements: dict[str, float] = field(default_factory=dict)
    curve: dict[str, Array] | None = None
    error: str | None = None


class Store:
    """An open ``study.sqlite``; use `Store.open` or `Store.create`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path

    @classmethod
    def open(cls, directory: str | os.PathLike[str], *, write: bool = False) -> Store:
        """Open the store of an existing results directory, by default for reading only.

        Raises
        ------
        InputError
            There is none, or it is damaged, not ours or of another schema version.
        """
        path = Path(directory) / FILE_NAME
        if not path.is_file():
            raise InputError(f"{str(directory)!r} is not a results directory: no {FILE_NAME} in it")
        # What a killed session left half written is in the journal; only a connection that may
        # write can roll it back.
        torn = path.with_name(f"{FILE_NAME}-journal").exists()
        mode = "rw" if write or torn else "ro"
        try:
            db = sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True)
        except sqlite3.Error as error:
            raise InputError(f"{path} cannot be opened: {error}") from None
        try:
            owner = db.execute("PRAGMA application_id").fetchone()[0]
            version = db.execute("PRAGMA user_version").fetchone()[0]
            damage = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            db.close()
            raise InputError(
                f"{path} is damaged or not a database ({error}); it is left as it is: restore it "
                "from a copy or use another directory"
            ) from None
        problem = None
        if owner != _APPLICATION_ID:
            problem = "is a database of another program; use another directory"
        elif version != SCHEMA_VERSION:
            problem = (
                f"has schema version {version}, this mlpspec reads {SCHEMA_VERSION}; use the "
                "mlpspec that wrote it or another directory"
            )
        elif damage != "ok":
            problem = f"is damaged ({damage}); it is left as it is: restore it from a copy"
        if problem:
            db.close()
            raise InputError(f"{path} {problem}")
        return cls(db, path)

    @classmethod
    def create(cls, directory: str | os.PathLike[str], study: Study) -> Store:
        """Create the store of a study in a directory, which is made if need be.

        Raises
        ------
        InputError
            The directory cannot be made or written.
        """
        path = Path(directory).absolute() / FILE_NAME
        draft = path.with_name(f".{FILE_NAME}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Made under another name, so that a store is either whole or not there.
            with contextlib.closing(sqlite3.connect(draft)) as db, db:
                db.executescript(_SCHEMA)
                db.execute("INSERT INTO identity VALUES (?)", [json.dumps(study.identity)])
                db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            if path.is_symlink():
                raise InputError(f"{path} is a link to nowhere; mend it or remove it")
            os.replace(draft, path)
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"cannot write to {directory}: {reason}") from None
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()
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
        own, asked = self.identity(), study.identity
        directory = self.path.parent
        known = self.extensions()
        for name, definition in study.extensions.items():
            if known.get(name, definition) != definition:
                raise InputError(
                    f"{directory} has runs with another loss {name}: {known[name]}, not "
                    f"{definition}; give another directory with --out, or the loss another name"
                )
        if own == asked:
            return
        if own["study"] != asked["study"]:
            difference = f"holds the study {own['study']!r}, not {asked['study']!r}"
        elif own["axes"] != asked["axes"]:
            difference = f"varies {', '.join(own['axes'])}, not {', '.join(asked['axes'])}"
        else:
            ours, theirs = own["settings"], asked["settings"]
            difference = "was made with " + ", ".join(
                f"{name}={ours.get(name)} (asked: {theirs.get(name)})"
                for name in sorted({*ours, *theirs})
                if ours.get(name) != theirs.get(name)
            )
        raise InputError(f"{directory} {difference}; give another directory with --out")

    def identity(self) -> dict[str, Any]:
        """Return the `Study.identity` that the directory belongs to."""
        with self._reading():
            (text,) = self._db.execute("SELECT study FROM identity").fetchone()
            identity = json.loads(text)
            return {name: identity[name] for name in ("study", "axes", "settings")}

    def extensions(self) -> dict[str, Definition]:
        """Return the losses of one's own that its sessions trained with, by name."""
        found: dict[str, Definition] = {}
        for (text,) in self._db.execute("SELECT study FROM sessions ORDER BY id"):
            with self._reading():
                for name, content in json.loads(text).get("extensions", {}).items():
                    found[name] = Definition.from_dict(name, content)
        return found

    def begin_session(self, study: Study, started: str, provenance: dict[str, Any]) -> int:
        """Note that a session starts to train runs of ``study``; return its number."""
        with self._db:
            cursor = self._db.execute(
                "INSERT INTO sessions (started, study, provenance) VALUES (?, ?, ?)",
                [started, study.to_json(), json.dumps(provenance)],
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def end_session(self, session: int, ended: str) -> None:
        """Note when a session ended."""
        with self._db:
            self._db.execute("UPDATE sessions SET ended = ? WHERE id = ?", [ended, session])

    def add(self, records: Iterable[Record], session: int) -> None:
        """Keep the results of a batch, all or none. A result that is there stays as it is."""
        with self._db:
            for record in records:
                self._add(record, session)

    def _add(self, record: Record, session: int) -> None:
        key, dataset, params = record.run.key, None, None
        if record.params is not None:
            x, y, params = (_to_bytes(a) for a in (record.x, record.y, record.params))
            dataset = sha256(x + y).hexdigest()[:16]
            self._db.execute("INSERT OR IGNORE INTO datasets VALUES (?, ?, ?)", [dataset, x, y])
        measurements = {
            name: None if math.isnan(value) else value
            for name, value in record.measurements.items()
        }
        self._db.execute(
            """INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (key) DO UPDATE SET
                run = excluded.run, status = excluded.status, session = excluded.session,
                dataset = excluded.dataset, params = excluded.params,
                measurements = excluded.measurements, error = excluded.error
            WHERE status = 'failed'""",
            [
                key,
                json.dumps(record.run.to_dict()),
                record.status,
                session,
                dataset,
                params,
                json.dumps(measurements),
                record.error,
            ],
        )
        if record.curve is not None:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **cast(dict[str, Any], record.curve))
            self._db.execute("INSERT OR IGNORE INTO curves VALUES (?, ?)", [key, buffer.getvalue()])

    def status(self) -> dict[str, str]:
        """Return the status of every run that was tried, by key."""
        return dict(self._db.execute("SELECT key, status FROM runs"))

    def records(self) -> Iterator[Record]:
        """Iterate over all runs, without their arrays and curves."""
        rows = self._db.execute("SELECT run, status, measurements, error FROM runs")
        for run, status, measurements, error in rows:
            with self._reading():
                numbers = {
                    name: math.nan if value is None else value + 0
                    for name, value in json.loads(measurements).items()
                }
                record = Record(Run(**json.loads(run)), status, measurements=numbers, error=error)
            yield record

    def record(self, key: str) -> Record:
        """Return one run with its arrays and curve.

        Raises
        ------
        InputError
            There is no such run, or it failed and has no arrays.
        """
        row = self._db.execute(
            """SELECT run, status, measurements, error, params, x, y, arrays FROM runs
            LEFT JOIN datasets ON datasets.key = runs.dataset
            LEFT JOIN curves ON curves.key = runs.key WHERE runs.key = ?""",
            [key],
        ).fetchone()
        if row is None:
            raise InputError(f"{self.path.parent} has no run {key!r}; keys are in runs.csv")
        run, status, measurements, error, params, x, y, arrays = row
        if params is None:
            raise InputError(f"run {key} {status} and has no weights; run the study again")
        curve = None
        if arrays is not None:
            with np.load(io.BytesIO(arrays), allow_pickle=False) as archive:
                curve = dict(archive)
        return Record(
            Run(**json.loads(run)),
            status,
            _from_bytes(x),
            _from_bytes(y),
            _from_bytes(params),
            json.loads(measurements),
            curve,
            error,
        )

    def curves(self) -> set[str]:
        """Return the keys of the runs that have a curve."""
        return {key for (key,) in self._db.execute("SELECT key FROM curves")}

    def arrays(self) -> Iterator[tuple[str, str, Array]]:
        """Iterate over key, key of the data and final parameters (P,) of all runs that have any."""
        rows = self._db.execute("SELECT key, dataset, params FROM runs WHERE params IS NOT NULL")
        for key, dataset, params in rows:
            yield key, dataset, _from_bytes(params)

    def datasets(self) -> dict[str, tuple[Array, Array]]:
        """Return all inputs (N, D) and targets (N,) by the key of the data."""
        rows = self._db.execute("SELECT key, x, y FROM datasets")
        return {key: (_from_bytes(x), _from_bytes(y)) for key, x, y in rows}

    def sessions(self) -> list[dict[str, Any]]:
        """Return all sessions: id, started, ended, study, runs trained, and their provenance."""
        rows = self._db.execute(
            """SELECT id, started, ended, study, provenance,
                (SELECT COUNT(*) FROM runs WHERE session = sessions.id)
            FROM sessions ORDER BY id"""
        )
        with self._reading():
            return [
                {
                    "session": number,
                    "started": started,
                    "ended": ended,
                    "runs": runs,
                    "study": json.loads(study),
                    **json.loads(provenance),
                }
                for number, started, ended, study, provenance, runs in rows
            ]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Tell of content that mlpspec cannot have written."""
        try:
            yield
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{self.path} is damaged: it holds what mlpspec did not write ({error}); it is "
                "left as it is: restore it from a copy"
            ) from None


def _to_bytes(array: Array | None) -> bytes:
    assert array is not None
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _from_bytes(content: bytes) -> Array:
    array: Array = np.load(io.BytesIO(content), allow_pickle=False)
    return array
