"""The file of a results directory: its schema, its checksums, its lock, opening and making it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from mlpspec.errors import InputError
from mlpspec.store.packed import content, packed, unpack

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FILE_NAME = "study.sqlite"

JOURNAL, LOG = f"{FILE_NAME}-journal", f"{FILE_NAME}-wal"
"""What SQLite keeps beside a store: to roll back what was half written, or, if another program
asked for that (write-ahead log), what was written last."""

LOCK_NAME = ".lock"
"""Of the file that a command locks while it writes into a results directory."""

SCHEMA_VERSION = 2
_APPLICATION_ID = 0x6D6C7073  # "mlps"

_WAIT = 600.0
"""Seconds to wait for another process that reads or writes; a report may read for a while."""

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

CONTENT = {
    "identity": ("study",),
    "sessions": ("id", "started", "ended", "study", "provenance"),
    "datasets": ("key", "x", "y"),
    "runs": ("key", "run", "status", "session", "dataset", "params", "measurements", "error"),
    "curves": ("key", "arrays"),
}
"""The tables and their columns, all of which the last one, the checksum, covers."""


CODE = "SELECT type FROM sqlite_schema WHERE type NOT IN ('table', 'index')"
"""Finds triggers and views, which would run when tables are used."""


def checksum(row: Iterable[Any]) -> str:
    """Return 16 hexadecimal digits that stand for the values of a row.

    Examples
    --------
    >>> checksum(["key", 1, b"content"])
    '2457d1acb58194ef'
    """
    values = list(row)
    blobs = [value for value in values if isinstance(value, bytes)]
    texts = json.dumps([len(v) if isinstance(v, bytes) else v for v in values])
    digest = sha256(texts.encode())
    for blob in blobs:
        digest.update(blob)
    return digest.hexdigest()[:16]


def connect(
    directory: str | os.PathLike[str], *, write: bool = False
) -> tuple[sqlite3.Connection, Path, int]:
    """Return a connection to the store of a directory, its path, and its schema's version.

    Raises
    ------
    InputError
        There is none, or it is damaged, not ours or of another schema version.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     create(folder, {"study": "mine", "axes": [], "settings": {}})
    ...     database, path, version = connect(folder)
    ...     database.close()
    >>> path.name, version
    ('study.sqlite', 2)
    """
    path = Path(directory) / FILE_NAME
    if write and packed(path):
        unpack(path)
    db = _unpacked(path) if packed(path) else _opened(path, write)
    # What is no UTF-8 cannot fit its checksum.
    db.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    try:
        owner = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
        damage = _damage(db)
        if owner != _APPLICATION_ID:
            raise InputError(
                f"{path} is a database of another program, or damaged at its beginning; use "
                "another directory, or try mlpspec recover "
                f"{shlex.quote(str(path.parent))} --out NEW"
            )
        if version not in (1, SCHEMA_VERSION):
            raise InputError(
                f"{path} has schema version {version}, this mlpspec reads 1 to {SCHEMA_VERSION}; "
                "use the mlpspec that wrote it or another directory"
            )
        if damage != "ok":
            raise InputError(f"{path} is damaged ({damage}); {mend(path)}")
        if code := db.execute(CODE).fetchone():
            raise InputError(f"{path} holds what mlpspec did not write (a {code[0]}); {mend(path)}")
        if write:
            with contextlib.suppress(sqlite3.OperationalError):  # open in another program
                db.execute("PRAGMA journal_mode = DELETE")
        if write and version == 1:
            _add_checksums(db)
            version = SCHEMA_VERSION
    except sqlite3.DatabaseError as error:
        db.close()
        if isinstance(error, sqlite3.OperationalError):
            raise InputError(f"{path} cannot be used: {error}") from None
        raise InputError(f"{path} is damaged or not a database ({error}); {mend(path)}") from None
    except InputError:
        db.close()
        raise
    return db, path, version


def _opened(path: Path, write: bool) -> sqlite3.Connection:
    """Return a connection to a store, once what a session left half written can be seen to."""
    if not path.is_file():
        if os.path.lexists(path):
            raise InputError(f"{path} is not a file; remove it or mend it")
        if in_use(path.parent):
            raise InputError(f"{path.parent} holds nothing yet; a run that writes there has begun")
        raise InputError(f"{str(path.parent)!r} is not a results directory: no {FILE_NAME} in it")
    interrupted, logged = (path.with_name(name).exists() for name in (JOURNAL, LOG))
    if not path.stat().st_size:  # SQLite would delete the log
        there = f"its log is not; {mend(path)}" if logged else "remove it or use another directory"
        raise InputError(f"{path} is empty; {there}")
    # What a killed session left half written is in the journal; only a connection that may
    # write can roll it back.
    if (interrupted and (write or not in_use(path.parent))) or (logged and write):
        _try_rolling_back(path)
    mode = "rw" if write or interrupted else "ro"
    if not (write or interrupted or logged or os.access(path.parent, os.W_OK)):
        with path.open("rb") as file:  # SQLite would make an empty log
            mode += "&immutable=1" if file.read(20)[18:] == b"\2\2" else ""
    try:
        return sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", timeout=_WAIT, uri=True)
    except sqlite3.Error as error:
        raise InputError(f"{path} cannot be opened: {error}") from None


def _unpacked(path: Path) -> sqlite3.Connection:
    """Return a connection to a packed store, in memory."""
    whole = content(path) or b"nothing"  # of no bytes at all SQLite would make a new database
    db = sqlite3.connect(":memory:")
    db.deserialize(whole)
    return db


def has_store(directory: str | os.PathLike[str]) -> bool:
    """Return whether a directory has a store, packed or not, or a link in the place of one.

    Examples
    --------
    >>> has_store(Path("there", "is", "nothing"))
    False
    """
    path = Path(directory) / FILE_NAME
    return os.path.lexists(path) or packed(path) is not None


def _damage(db: sqlite3.Connection) -> str:
    """Return what SQLite finds damaged, in one line, or ``ok``."""
    return " ".join(db.execute("PRAGMA integrity_check(1)").fetchone()[0].split())


def create(directory: str | os.PathLike[str], identity: dict[str, Any]) -> None:
    """Make the directory, if need be, and in it the store of a `Study.identity`.

    Raises
    ------
    InputError
        The directory cannot be made or written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     create(folder, {"study": "mine", "axes": [], "settings": {}})
    ...     os.listdir(folder)
    ['study.sqlite']
    """
    path = Path(directory).absolute() / FILE_NAME
    draft = path.with_name(f".{FILE_NAME}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made under another name, so that a store is either whole or not there.
        with contextlib.closing(sqlite3.connect(draft)) as db, db:
            db.executescript(_SCHEMA)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            db.execute("INSERT INTO identity VALUES (?)", [json.dumps(identity)])
            db.commit()
            _add_checksums(db)
        if path.is_symlink():
            raise InputError(f"{path} is a link to nowhere; mend it or remove it")
        try:
            os.link(draft, path)
        except FileExistsError:
            raise InputError(f"{path} is there already; another command has made it") from None
        except OSError:  # a file system without links
            os.replace(draft, path)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot write to {directory}: {reason}") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def check_new(out: str | os.PathLike[str]) -> None:
    """Raise `InputError` unless ``out`` is not there, or an empty directory.

    Examples
    --------
    >>> check_new("there/is/nothing")
    """
    new = Path(out)
    if os.path.lexists(new) and not (new.is_dir() and not any(new.iterdir())):
        raise InputError(f"{out} is there already; give a new directory with --out")


@contextlib.contextmanager
def made_whole(out: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the path of a directory to make, which becomes ``out`` once all went well.

    Raises
    ------
    InputError
        ``out`` cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with made_whole(f"{folder}/new") as draft:
    ...         create(draft, {"study": "mine", "axes": [], "settings": {}})
    ...         before = Path(folder, "new").exists()
    ...     before, os.listdir(f"{folder}/new")
    (False, ['study.sqlite'])
    """
    new, folder = Path(out), ""
    try:
        new.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".draft-", dir=new.parent) as folder:
            draft = Path(folder) / "draft"
            yield draft
            os.rename(draft, new)
    except OSError as error:
        if folder and error.filename and Path(folder).name not in str(error.filename):
            raise  # of a file that was read
        raise InputError(f"cannot write to {out}: {error.strerror}") from None


def mend(path: Path) -> str:
    """Return what to do about a damaged store.

    Examples
    --------
    >>> mend(Path("runs/study.sqlite"))
    'it is left as it is: save what is intact with mlpspec recover runs --out NEW'
    """
    return f"it is left as it is: {save(path.parent)}"


def save(directory: Path) -> str:
    """Return how to save what is intact in a directory.

    Examples
    --------
    >>> save(Path("my runs"))
    "save what is intact with mlpspec recover 'my runs' --out NEW"
    """
    return f"save what is intact with mlpspec recover {shlex.quote(str(directory))} --out NEW"


def _add_checksums(db: sqlite3.Connection) -> None:
    """Bring a store of schema version 1 up to date, all or nothing."""
    db.create_function("checksum", -1, lambda *row: checksum(row), deterministic=True)
    with db:
        db.execute("BEGIN IMMEDIATE")
        for table, columns in CONTENT.items():
            db.execute(f"ALTER TABLE {table} ADD COLUMN checksum TEXT")
            db.execute(f"UPDATE {table} SET checksum = checksum({', '.join(columns)})")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def rolled_back(path: Path, folder: str) -> tuple[Path, str]:
    """Return a copy of a store in ``folder``, with what the journal or log beside it says.

    Second is what is damaged in the copy, or ``ok``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
    ...     create(folder, {"study": "mine", "axes": [], "settings": {}})
    ...     _ = Path(folder, "study.sqlite-journal").write_bytes(b"")
    ...     copy, damage = rolled_back(Path(folder, "study.sqlite"), other)
    >>> copy.name, damage
    ('study.sqlite', 'ok')
    """
    copy = Path(shutil.copy(path, folder))
    for name in (JOURNAL, LOG):
        if path.with_name(name).exists():
            shutil.copy(path.with_name(name), folder)
    try:
        with contextlib.closing(sqlite3.connect(copy)) as db:
            return copy, _damage(db)
    except sqlite3.Error as error:
        return copy, str(error)


def _try_rolling_back(path: Path) -> None:
    """Roll back on a copy what the journal holds: one of another state would destroy the store.

    Raises
    ------
    InputError
        What comes out is damaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            _, damage = rolled_back(path, folder)
        except FileNotFoundError:
            return  # its writer has just finished
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if damage != "ok":
        raise InputError(
            f"{path} would be damaged by rolling back the journal beside it, or by its log "
            f"({damage}), which may be of another copy; {mend(path)}"
        )


def try_lock(file: IO[Any], *, shared: bool = False) -> bool:
    """Lock an open file without waiting; return whether nobody else holds it.

    The lock goes with the file, or with the process however it ends.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file, open(file.name) as same:
    ...     try_lock(file), try_lock(same)
    (True, False)
    """
    try:
        if fcntl is not None:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        else:  # its locks are of bytes, from where the file stands, and never shared
            msvcrt = import_module("msvcrt")
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True


def in_use(directory: Path) -> bool:
    """Return whether a command writes into the directory, whose journal is then in use too.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     in_use(Path(folder))
    False
    """
    try:
        with (directory / LOCK_NAME).open() as file:
            return not try_lock(file, shared=True)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
