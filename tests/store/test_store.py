import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import types

import numpy as np
import pytest
from helpers import ROOT

import mlpspec
from mlpspec import studies
from mlpspec.errors import InputError
from mlpspec.store import database
from mlpspec.store.database import CONTENT, FILE_NAME, LOCK_NAME, checksum
from mlpspec.store.results import Results
from mlpspec.store.store import Record, Store
from mlpspec.study.run import Run

STUDY = studies.paper().replace(seed=(0, 1), n_samples=(3,))


def record(run, status="ok", **changes):
    rng = np.random.default_rng(run.seed)
    fields = {
        "x": rng.normal(size=(3, 1)),
        "y": rng.normal(size=3),
        "params": rng.normal(size=10),
        "measurements": {"a": 0.1 + 0.2, "b": np.nan, "c": 5e-324},
    }
    return Record(run, status, **{**fields, **changes})


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "new" / "dir", STUDY) as store:
        yield store


def begin(store):
    return store.begin_session(STUDY, "2026-01-01", {"numpy": "2"})


def test_everything_reads_back_exactly(store):
    run = STUDY.runs[0]
    curve = {"steps": np.arange(3), "params": np.ones((3, 10)), "fit": np.array([1 / 3, np.nan])}
    written = record(run, curve=curve)
    store.add([written, record(STUDY.runs[1])], begin(store))
    read = store.record(run.key)
    for name in ("x", "y", "params"):
        assert getattr(read, name).tobytes() == getattr(written, name).tobytes()
    for name, values in curve.items():
        assert read.curve[name].tobytes() == values.tobytes()
    (first,) = [r for r, _ in store.kept().values() if r.run == run]
    assert first.measurements["a"] == 0.1 + 0.2
    assert first.measurements["c"] == 5e-324
    assert np.isnan(first.measurements["b"])
    assert read.run == run
    assert store.record(STUDY.runs[1].key).curve is None


def test_single_precision_stays(store):
    single = record(STUDY.runs[0], params=np.ones(10, dtype=np.float32))
    store.add([single], begin(store))
    assert store.record(STUDY.runs[0].key).params.dtype == np.float32


def test_paired_runs_share_their_data(store):
    same = {"x": np.ones((3, 1)), "y": np.ones(3)}
    store.add([record(run, **same) for run in STUDY.runs[:4]], begin(store))
    assert store._db.execute("SELECT COUNT(*) FROM datasets").fetchone() == (1,)


def test_a_result_is_never_overwritten_but_a_failure_is(store):
    run, other = STUDY.runs[:2]
    session = begin(store)
    failed = Record(run, "failed", error="Traceback: boom")
    store.add([failed, record(other, "diverged")], session)
    assert store.status() == {run.key: "failed", other.key: "diverged"}
    with pytest.raises(InputError, match="failed and has no weights"):
        store.record(run.key)
    store.add([record(run), record(other, measurements={"a": 7.0})], begin(store))
    assert store.status() == {run.key: "ok", other.key: "diverged"}
    assert store.record(other.key).measurements["a"] == 0.1 + 0.2
    assert [session["runs"] for session in store.sessions()] == [1, 1]
    assert {r.error for r, _ in store.kept().values()} == {None}


def test_a_batch_is_kept_whole_or_not_at_all(store):
    bad = record(STUDY.runs[1], status="nonsense")
    with pytest.raises(sqlite3.IntegrityError):
        store.add([record(STUDY.runs[0]), bad], begin(store))
    assert store.status() == {}


def test_sessions_are_kept(store):
    session = begin(store)
    store.end_session(session, "2026-01-02")
    (kept,) = store.sessions()
    assert (kept["started"], kept["ended"], kept["numpy"]) == ("2026-01-01", "2026-01-02", "2")
    assert kept["study"]["name"] == "paper"


def test_unknown_run(store):
    with pytest.raises(InputError, match=r"has no run 'x'; keys are in runs\.csv"):
        store.record("x")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (studies.tau_sweep(), "holds the study 'paper', not 'tau-sweep'"),
        (STUDY.replace(steps=5), r"was made with steps=3000 \(asked: 5\)"),
    ],
)
def test_a_directory_belongs_to_one_study(store, other, message):
    with pytest.raises(InputError, match=message):
        store.check_study(other)
    store.check_study(STUDY.replace(seed=range(50)))


def test_directory_without_store(tmp_path):
    with pytest.raises(InputError, match=r"not a results directory: no study\.sqlite in it"):
        Store.open(tmp_path)


def another_program():
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE notes (text TEXT)")
        return db.serialize()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; remove it or use another directory"),
        (another_program(), "database of another program"),
        (b"not a database at all, but a text" * 99, "damaged or not a database"),
    ],
)
def test_files_that_are_no_store(tmp_path, content, message):
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(InputError, match=message):
        Store.open(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == content


def filled(directory):
    with Store.create(directory, STUDY) as store:
        session = begin(store)
        store.add([record(run) for run in STUDY.runs], session)
    return directory / FILE_NAME


def test_store_of_a_session_killed_while_it_wrote(tmp_path):
    """A hot journal is rolled back, also by commands that only read."""
    path = filled(tmp_path)
    code = (
        "import os, signal, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1])\n"
        "db.execute('PRAGMA cache_size = 5')\n"
        "db.execute('BEGIN')\n"
        "for n in range(2000):\n"
        "    db.execute('INSERT INTO curves VALUES (?, ?, ?)', [str(n), b'x' * 3000, ''])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert path.with_name("study.sqlite-journal").exists()
    with Store.open(tmp_path) as store:
        assert len(store.status()) == len(STUDY.runs)
        assert store.curves() == set()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE runs SET run = 'nonsense'",
        "UPDATE runs SET run = '{\"nonsense\": 1}'",
        "UPDATE runs SET measurements = '[1]'",
        'UPDATE runs SET measurements = \'{"a": "text"}\'',
        "UPDATE identity SET study = '{}'",
        "UPDATE identity SET study = '[]'",
        "DELETE FROM identity",
        "UPDATE sessions SET study = 'nonsense'",
    ],
)
def test_content_that_mlpspec_did_not_write_is_named(tmp_path, change):
    path = filled(tmp_path)
    db = sqlite3.connect(path)
    db.create_function("checksum", -1, lambda *content: checksum(content))
    with db:
        db.execute(change)
        for table, columns in CONTENT.items():  # whoever does this on purpose does it well
            db.execute(f"UPDATE {table} SET checksum = checksum({', '.join(columns)})")
    db.close()
    with pytest.raises(InputError, match="holds what mlpspec did not write"):
        list(Results(tmp_path).runs)


def test_link_to_nowhere_is_not_replaced(tmp_path):
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "absent" / "store")
    with pytest.raises(InputError, match="is a link to nowhere"):
        Store.create(tmp_path, STUDY)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_directory_with_an_odd_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("file:x", "a?b#c%20d", "ünï 'q\"", "-dash"):
        filled(tmp_path / name)
        Store.create(f"{name}-too", STUDY).close()
        with Store.open(f"{name}-too") as store:
            assert store.status() == {}


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_truncated_store_is_refused_and_left_alone(tmp_path, keep):
    path = filled(tmp_path)
    content = path.read_bytes()[: int(path.stat().st_size * keep)]
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        Store.open(tmp_path)
    assert path.read_bytes() == content


def test_other_schema_version(tmp_path):
    path = filled(tmp_path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(InputError, match=r"has schema version 99, this mlpspec reads 1 to 2"):
        Store.open(tmp_path)


def test_place_that_cannot_be_written():
    with pytest.raises(InputError, match="cannot write to /proc/mlpspec"):
        Store.create("/proc/mlpspec", STUDY)


def test_nothing_in_a_store_is_pickled(tmp_path):
    path = filled(tmp_path)
    db = sqlite3.connect(path)
    blobs = [blob for row in db.execute("SELECT params, x, y FROM runs, datasets") for blob in row]
    db.close()
    assert blobs
    assert all(blob.startswith(b"\x93NUMPY") for blob in blobs)


STORES = sorted(path.parent for path in (ROOT / "results").rglob(f"{FILE_NAME}.gz"))
assert STORES


@pytest.mark.parametrize("directory", STORES, ids=lambda path: path.name)
def test_keys_of_stored_runs_are_those_of_their_descriptions(directory):
    with Store.open(directory) as store:
        keys = dict(store.rows("runs", lambda row: (row[0], Run(**json.loads(row[1])).key)))
        assert keys
        assert [*keys] == [*keys.values()] == list(store.status())


def test_a_lock_without_flock_is_of_a_byte(tmp_path, monkeypatch):
    """As on Windows, whose module this stands in for: it locks bytes from where a file stands."""
    held = []  # by open files

    def locking(number, mode, count):
        place = os.fstat(number).st_ino, os.lseek(number, 0, os.SEEK_CUR)
        assert (mode, count) == (windows.LK_NBLCK, 1)
        if any(place == other for other, file in held if not file.closed):
            raise PermissionError(13, "Permission denied")
        tried.append(place)

    tried = []
    windows = types.SimpleNamespace(LK_NBLCK=2, locking=locking)
    monkeypatch.setitem(sys.modules, "msvcrt", windows)
    monkeypatch.setattr(database, "fcntl", None)
    with (tmp_path / LOCK_NAME).open("a") as lock:
        lock.write("more than nothing")
        lock.flush()
        assert database.try_lock(lock)
        held.append((tried[-1], lock))
        assert database.in_use(tmp_path)
        with pytest.raises(InputError, match="is in use by another mlpspec run"):
            mlpspec.run_study(STUDY.replace(steps=0), tmp_path, n_jobs=1)
        with pytest.raises(InputError, match="holds nothing yet; a run that writes"):
            Store.open(tmp_path)
    assert not database.in_use(tmp_path)
    assert len(mlpspec.run_study(STUDY.replace(steps=0), tmp_path, n_jobs=1).runs) == 16
