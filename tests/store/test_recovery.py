"""Damaged stores: what is wrong is seen, and what is intact can be saved."""

import contextlib
import random
import shutil
import sqlite3

import numpy as np
import pytest
from helpers import ROOT, runs_csv

import mlpspec
from mlpspec.cli import command as cli
from mlpspec.errors import InputError
from mlpspec.store.database import CONTENT, FILE_NAME, LOG
from mlpspec.store.recovery import recover
from mlpspec.store.store import Store

STUDY = mlpspec.studies.paper().replace(
    seed=(0, 1), n_samples=(3, 10, 40), steps=20, record_every=10
)


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    out = tmp_path_factory.mktemp("recovery") / "intact"
    mlpspec.run_study(STUDY, out, n_jobs=1)
    return out


def everything(directory):
    """All that a results directory holds, by run, and what is not about one run."""
    results = mlpspec.load(directory)
    columns = [name for name in results.table if name != "key"]
    rows = zip(*(results.table[name].tolist() for name in columns), strict=True)
    found = {}
    for key, row in zip(results.table["key"].tolist(), rows, strict=True):
        curve = results.curve(key)
        arrays = [results.params(key).flatten(), *results.dataset(key), curve.steps]
        arrays += [curve.params.flatten(), *curve.values.values()]
        found[key] = repr(row), [array.tobytes() for array in arrays]
    return found, (results.identity, results.sessions)


def damage(content, kind, rng):
    """Return the bytes of a store with one fault."""
    content = bytearray(content)
    if kind == "flip":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == "zeros":
        page = rng.randrange(len(content) // 4096)
        content[page * 4096 : (page + 1) * 4096] = bytes(4096)
    elif kind == "garbage":
        place = rng.randrange(len(content) - 512)
        content[place : place + 512] = rng.randbytes(512)
    else:
        del content[rng.randrange(1, len(content)) :]
    return bytes(content)


@pytest.mark.parametrize("kind", ["flip", "zeros", "garbage", "cut"])
@pytest.mark.parametrize("many", [3, pytest.param(12, marks=pytest.mark.slow)])
def test_damage_is_seen_and_the_rest_is_saved(intact, tmp_path, kind, many):
    content = (intact / FILE_NAME).read_bytes()
    runs, whole = everything(intact)
    rng = random.Random(many)
    saved = 0
    for number in range(many):
        place, out = tmp_path / f"{number}", tmp_path / f"{number}-out"
        place.mkdir()
        damaged = damage(content, kind, rng)
        (place / FILE_NAME).write_bytes(damaged)
        shutil.copy(intact / "provenance.json", place)
        try:
            seen = everything(place)
        except InputError as error:
            seen = str(error)
        # Either it is told with its mend, or what was hit is not in use.
        assert "mlpspec recover" in seen or seen == (runs, whole)
        assert (place / FILE_NAME).read_bytes() == damaged
        found = recover(place, out)
        kept, _ = everything(out)
        assert kept == {key: runs[key] for key in kept}
        assert found.runs == len(kept)
        assert found.runs + found.lost == len(runs)
        assert not found.unknown
        assert found.unchecked == 0
        saved += found.runs
    assert saved > 0.2 * many * len(runs)


def test_a_flip_in_the_numbers_of_a_run_names_the_run(intact, tmp_path, capsys):
    """SQLite sees nothing wrong with a digit that is another one."""
    content = (intact / FILE_NAME).read_bytes()
    at = content.index(b'"fit_mse": ') + len(b'"fit_mse": ')
    digit = b"1" if content[at : at + 1] != b"1" else b"2"
    (tmp_path / FILE_NAME).write_bytes(content[:at] + digit + content[at + 1 :])
    db = sqlite3.connect(tmp_path / FILE_NAME)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    for command in (["status"], ["report"], ["verify"], ["export", "--format", "csv"]):
        assert cli.main([command[0], str(tmp_path), *command[1:]]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert "is damaged: run " in err
        assert f"save what is intact with mlpspec recover {tmp_path} --out NEW" in err
    assert cli.main(["recover", str(tmp_path), "--out", str(tmp_path / "new")]) == 1
    out = capsys.readouterr().out
    assert f"has 47 runs of {tmp_path}; 1 are lost" in out
    mlpspec.run_study(STUDY, tmp_path / "new", n_jobs=1)
    assert runs_csv(tmp_path / "new") == runs_csv(intact)


def test_recovery_of_an_intact_store_changes_nothing(intact, tmp_path, capsys):
    assert cli.main(["recover", str(intact), "--out", str(tmp_path / "new")]) == 0
    assert everything(tmp_path / "new") == everything(intact)
    with pytest.raises(InputError, match=r"is there already; give a new directory"):
        recover(intact, tmp_path / "new")
    with pytest.raises(InputError, match="nothing to recover"):
        recover(tmp_path, tmp_path / "newer")


def first_version(directory):
    """Turn a store into one of schema version 1."""
    db = sqlite3.connect(directory / FILE_NAME)
    with db:
        for table in CONTENT:
            db.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
        db.execute("PRAGMA user_version = 1")
    db.close()


def test_stores_without_checksums_are_read_extended_and_recovered(intact, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(intact, old)
    first_version(old)
    before = (old / FILE_NAME).read_bytes()
    assert everything(old) == everything(intact)
    found = recover(old, tmp_path / "saved")
    assert (found.runs, found.lost, found.unchecked) == (48, 0, 48)
    assert everything(tmp_path / "saved") == everything(intact)
    assert (old / FILE_NAME).read_bytes() == before
    more = STUDY.replace(seed=(0, 1, 2))
    assert mlpspec.run_study(more, old, n_jobs=1).sessions[-1]["runs"] == 24
    runs, _ = everything(intact)
    extended, _ = everything(old)
    assert {key: extended[key] for key in runs} == runs
    with Store.open(old) as store:
        assert None not in [c for (c,) in store._db.execute("SELECT checksum FROM runs")]


def test_reference_results_are_saved_whole(tmp_path):
    found = recover(ROOT / "results" / "paper", tmp_path)
    assert (found.runs, found.lost) == (480, 0)
    one, other = mlpspec.load(ROOT / "results" / "paper"), mlpspec.load(tmp_path)
    for key in list(one.runs)[::50]:
        np.testing.assert_array_equal(one.params(key).flatten(), other.params(key).flatten())


def test_a_journal_of_another_copy_is_not_rolled_back(intact, tmp_path, capsys):
    older, place = tmp_path / "older", tmp_path / "place"
    for directory in (older, place):
        directory.mkdir()
        shutil.copy(intact / FILE_NAME, directory)
    with contextlib.closing(sqlite3.connect(older / FILE_NAME, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 1")
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE runs SET error = hex(randomblob(3000))")
        journal = (older / f"{FILE_NAME}-journal").read_bytes()
        db.execute("ROLLBACK")
    mlpspec.run_study(STUDY.replace(seed=range(6)), place, n_jobs=1)
    content = (place / FILE_NAME).read_bytes()
    (place / f"{FILE_NAME}-journal").write_bytes(journal)
    for command in (["status", str(place)], ["export", str(place), "--format", "csv"]):
        assert cli.main(command) == 2
        assert "rolling back the journal beside it" in capsys.readouterr().err
        assert (place / FILE_NAME).read_bytes() == content
    assert cli.main(["recover", str(place), "--out", str(tmp_path / "saved")]) == 0
    assert "has 144 runs" in capsys.readouterr().out
    assert (place / FILE_NAME).read_bytes() == content


def test_what_is_lost_is_counted_or_said_to_be_unknown(intact, tmp_path, capsys):
    content = (intact / FILE_NAME).read_bytes()
    place = tmp_path / "place"
    place.mkdir()
    (place / FILE_NAME).write_bytes(content[: len(content) // 10])
    assert cli.main(["recover", str(place), "--out", str(tmp_path / "one")]) == 1
    assert "has 0 runs" in (told := capsys.readouterr().out)
    assert "how many are lost is not known" in told
    shutil.copy(intact / "runs.csv", place)
    assert cli.main(["recover", str(place), "--out", str(tmp_path / "two")]) == 1
    assert "has 0 runs" in (told := capsys.readouterr().out)
    assert "48 are lost" in told


def test_a_lost_session_stays_apart_from_new_ones(intact, tmp_path):
    place, out = tmp_path / "place", tmp_path / "out"
    place.mkdir()
    content = (intact / FILE_NAME).read_bytes()
    spoilt = content.replace(b'"processor"', b'"processoR"')
    assert spoilt != content
    (place / FILE_NAME).write_bytes(spoilt)
    found = recover(place, out)
    assert (found.runs, found.unknown) == (48, True)
    more = mlpspec.run_study(STUDY.replace(seed=(0, 1, 2)), out, n_jobs=1)
    assert [(s["started"] == "lost", s["runs"]) for s in more.sessions] == [(True, 48), (False, 24)]
    assert cli.main(["status", str(out)]) == 0


def test_recovery_goes_into_a_new_directory_whole_or_not_at_all(intact, tmp_path, monkeypatch):
    used = tmp_path / "used"
    used.mkdir()
    (used / "runs.csv").write_text("mine")
    with pytest.raises(InputError, match="used is there already"):
        recover(intact, used)
    assert (used / "runs.csv").read_text() == "mine"
    real = Store.restore

    def torn(self, table, rows):
        if table == "curves":
            raise OSError(28, "No space left on device")
        real(self, table, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "restore", torn)
        with pytest.raises(InputError, match="No space left"):
            recover(intact, tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == {"used"}
    recover(intact, tmp_path / "new")


def test_a_run_that_was_recorded_is_not_whole_without_its_curve(tmp_path):
    for name, recording in (("every", {"record_every": 10}), ("log", {"record": "log"})):
        out = tmp_path / name
        study = STUDY.replace(seed=(0,), n_samples=(3,), record_every=0, record="every")
        mlpspec.run_study(study.replace(**recording), out, n_jobs=1)
        with contextlib.closing(sqlite3.connect(out / FILE_NAME)) as db, db:
            db.execute("DELETE FROM curves WHERE key = (SELECT key FROM curves LIMIT 1)")
        found = recover(out, tmp_path / f"{name}-saved")
        assert (found.runs, found.lost) == (7, 1), name


def test_code_in_the_schema_is_refused(intact, tmp_path):
    for sql in (
        "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END",
        "CREATE VIEW v AS SELECT * FROM runs",
    ):
        place = tmp_path / sql.split()[1]
        place.mkdir()
        shutil.copy(intact / FILE_NAME, place)
        with contextlib.closing(sqlite3.connect(place / FILE_NAME)) as db, db:
            db.execute(sql)
        with pytest.raises(InputError, match=r"what mlpspec did not write \(a "):
            Store.open(place)


def test_a_store_does_not_take_the_place_of_another(intact, tmp_path):
    shutil.copy(intact / FILE_NAME, tmp_path)
    with pytest.raises(InputError, match="is there already"):
        Store.create(tmp_path, STUDY)
    assert len(mlpspec.load(tmp_path).runs) == 48


def test_missing_data_is_told(intact, tmp_path):
    shutil.copy(intact / FILE_NAME, tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as db, db:
        db.execute("DELETE FROM datasets")
    with pytest.raises(InputError, match="lacks the data of run"):
        mlpspec.load(tmp_path).stacks()


def in_a_log(intact, place):
    """A store in write-ahead mode, whose last transactions are in the log alone."""
    place.mkdir()
    work = place / "work"
    work.mkdir()
    shutil.copy(intact / FILE_NAME, work)
    with contextlib.closing(sqlite3.connect(work / FILE_NAME)) as db:
        found = {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in CONTENT}
        with db:
            for table in ("curves", "runs", "datasets"):
                db.execute(f"DELETE FROM {table}")
        db.execute("VACUUM")
        db.execute("PRAGMA journal_mode = WAL")
    with contextlib.closing(sqlite3.connect(work / FILE_NAME)) as db:
        for row in found["datasets"]:
            with db:
                db.execute("INSERT INTO datasets VALUES (?, ?, ?, ?)", row)
        for row, curve in zip(found["runs"], found["curves"], strict=True):
            with db:
                db.execute(f"INSERT INTO runs VALUES ({','.join('?' * len(row))})", row)
                db.execute("INSERT INTO curves VALUES (?, ?, ?)", curve)
        for name in (FILE_NAME, LOG):
            shutil.copy(work / name, place)
    shutil.rmtree(work)
    return place


def beside(place):
    return {path.name for path in place.iterdir()}


def test_what_is_in_a_log_alone_is_read_and_recovered(intact, tmp_path, capsys):
    place = in_a_log(intact, tmp_path / "place")
    content, log = (place / FILE_NAME).read_bytes(), (place / LOG).read_bytes()
    runs, _ = everything(intact)
    assert cli.main(["recover", str(place), "--out", str(tmp_path / "new")]) == 0
    assert "has 48 runs" in capsys.readouterr().out
    assert everything(tmp_path / "new")[0] == runs
    assert everything(place)[0] == runs
    assert cli.main(["status", str(place)]) == 0
    assert ((place / FILE_NAME).read_bytes(), (place / LOG).read_bytes()) == (content, log)


def test_a_session_that_writes_sets_the_journal_mode_back(intact, tmp_path):
    place = in_a_log(intact, tmp_path / "place")
    results = mlpspec.run_study(STUDY.replace(seed=(0, 1, 2)), place, n_jobs=1)
    assert [session["runs"] for session in results.sessions] == [48, 24]
    assert not beside(place) & {LOG, f"{FILE_NAME}-shm"}
    with contextlib.closing(sqlite3.connect(place / FILE_NAME)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_store_that_another_program_has_open_in_a_log_is_written_all_the_same(intact, tmp_path):
    place = in_a_log(intact, tmp_path / "place")
    with contextlib.closing(sqlite3.connect(place / FILE_NAME)) as db:
        db.execute("SELECT * FROM runs").fetchone()
        results = mlpspec.run_study(STUDY.replace(seed=(0, 1, 2)), place, n_jobs=1)
    assert len(results.runs) == 72


def test_what_a_damaged_log_held_is_saved_or_counted(intact, tmp_path):
    place = in_a_log(intact, tmp_path / "place")
    whole = (place / LOG).read_bytes()
    cut = whole[: len(whole) // 2]
    flipped = bytearray(whole)
    flipped[32 + 24 + 5000] ^= 1  # SQLite heeds nothing of the log from there on
    headless = bytes(32) + whole[32:]
    for number, (log, least) in enumerate([(cut, 10), (bytes(flipped), 40), (headless, 0)]):
        (place / LOG).write_bytes(log)
        found = recover(place, tmp_path / f"{number}")
        assert found.runs >= least
        assert found.runs + found.lost == 48 or (log == cut and (found.lost or found.unknown))
    (place / LOG).write_bytes(bytes(5000))
    shutil.copy(intact / "runs.csv", place)  # is older than the log may have been
    assert recover(place, tmp_path / "nothing").unknown
    (place / LOG).write_bytes(cut)
    assert recover(place, tmp_path / "part").unknown
    (place / LOG).write_bytes(whole)
    (place / FILE_NAME).write_bytes(b"")
    with pytest.raises(InputError, match=r"is empty; its log is not; .*mlpspec recover"):
        Store.open(place)
    assert (place / LOG).read_bytes() == whole  # SQLite would have deleted it
    shutil.copy(intact / "provenance.json", place)
    assert recover(place, tmp_path / "rest").runs == 48


def test_a_log_of_another_copy_is_not_applied(intact, tmp_path):
    older, place = tmp_path / "older", tmp_path / "place"
    for directory in (older, place):
        directory.mkdir()
        shutil.copy(intact / FILE_NAME, directory)
    with contextlib.closing(sqlite3.connect(older / FILE_NAME)) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("UPDATE runs SET error = hex(randomblob(3000))")
        db.commit()
        log = (older / LOG).read_bytes()
    mlpspec.run_study(STUDY.replace(seed=range(6)), place, n_jobs=1)
    content = (place / FILE_NAME).read_bytes()
    (place / LOG).write_bytes(log)
    with pytest.raises(InputError, match="which may be of another copy"):
        Store.open(place, write=True)
    assert (place / FILE_NAME).read_bytes() == content
    assert (place / LOG).read_bytes() == log
    assert recover(place, tmp_path / "saved").runs == 144


def test_damage_is_told_in_one_line(intact, tmp_path):
    content = bytearray((intact / FILE_NAME).read_bytes())
    content[4096 * 3 : 4096 * 4] = b"\xff" * 4096
    (tmp_path / FILE_NAME).write_bytes(content)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        assert "\n" in db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    with pytest.raises(InputError, match="is damaged") as caught:
        Store.open(tmp_path)
    assert "\n" not in str(caught.value)
