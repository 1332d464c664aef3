"""Watching a study, and the commands for several directories, as a user meets them."""

import numpy as np
import pytest

import mlpspec
from mlpspec.cli import command as cli
from mlpspec.cli import results as cli_results
from mlpspec.store.database import LOCK_NAME, try_lock
from mlpspec.store.store import Record, Store
from mlpspec.study.study import Study

STUDY = Study("mine", {"seed": (0, 1, 2)}, {"n_samples": 3, "steps": 0})
ABOUT = {"mlpspec": "1", "numpy": "2.1.0", "python": "3.11", "jobs": 1, "processor": "chip"}


def record(run, value=1.0):
    data = np.zeros((3, 1)), np.zeros(3)
    return Record(run, "ok", *data, np.full(10, value), {"fit_mse": value, "seconds": 1.0})


def made(place, *records, about=ABOUT):
    with Store.create(place, STUDY) as store:
        store.add(records, store.begin_session(STUDY, "2026-01-01", about))


def call(capsys, *arguments):
    status = cli.main([*arguments])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


@pytest.fixture(autouse=True)
def in_a_new_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_study_is_watched_until_it_is_complete(tmp_path, capsys, monkeypatch):
    """From before its first results to after its last, when nobody writes there any more."""
    (tmp_path / "d").mkdir()
    lock = (tmp_path / "d" / LOCK_NAME).open("a")
    assert try_lock(lock)

    def add(run):
        with Store.open("d", write=True) as store:
            store.add([record(run)], 1)

    first, second, third = STUDY.runs
    steps = iter(
        [
            lambda: made("d", record(first)),
            lambda: add(second),
            lambda: None,  # nothing is new, nothing is said
            lambda: add(third),
            lock.close,
        ]
    )
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        next(steps)()

    monkeypatch.setattr(cli_results.time, "sleep", sleep)
    status, out, err = call(capsys, "status", "d", "--watch")
    assert (status, err, list(steps)) == (0, "", [])
    assert out == [
        "d: nothing is stored yet",
        "d: 1 of 3 runs, 0 failed",
        "d: 2 of 3 runs, 0 failed",
        "d: 3 of 3 runs, 0 failed",
    ]
    assert min(waited) >= cli_results.REFRESHED


def test_on_a_terminal_the_whole_status_is_refreshed(capsys, monkeypatch):
    made("d", record(STUDY.runs[0]))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)

    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_results.time, "sleep", interrupt)
    status, out, _ = call(capsys, "status", "d", "--watch")
    assert status == 130
    assert out[0].startswith("\x1b[H\x1b[2Jstudy     mine")
    assert "asked     3 by the last session: 2 missing, 0 failed" in out
    assert out[-1] == "watching  1 of 3 runs, 0 failed; Ctrl-C ends this, not the study"


def test_what_merge_says(tmp_path, capsys):
    first, second, third = STUDY.runs
    made("a", record(first), record(second))
    made("b", record(second), about={**ABOUT, "numpy": "2.2.0"})
    (tmp_path / "b" / "confirm").mkdir()
    (tmp_path / "b" / "confirm" / "runs.csv").write_text("key\n")
    status, out, _ = call(capsys, "merge", "a", "b", "--out", "c d")
    assert status == 0
    assert out == [
        "c d: 2 runs: 2 of a, 0 of b",
        "  1 are in several directories, 1 of them with equal bits",
        "  1 runs of the joined study have no result yet",
        "  made with numpy 2.1.0 in a, 2.2.0 in b",
        "b/confirm has no store and is left out",
        "continue with: mlpspec run STUDY ... --out 'c d', or mlpspec report",
    ]
    status, out, _ = call(capsys, "status", "c d")
    assert "runs      2 in c d: 2 ok, 0 diverged, 0 failed" in out
    assert "asked     3 by the last session: 1 missing, 0 failed" in out
    assert "made with mlpspec 1, numpy 2.1.0, Python 3.11, 1 jobs on chip" in out
    last = mlpspec.load("c d").sessions[-1]
    assert last["command"] == "mlpspec merge a b --out 'c d'"
    made("e", record(second, 2.0), record(third))
    status, _, err = call(capsys, "merge", "a", "e", "--out", "f")
    assert (status, err.count("\n")) == (2, 1)
    assert f"other bits in 1 runs: {second.key} (baseline, N = 3, seed 1) between a and e" in err
    status, out, _ = call(capsys, "merge", "a", "e", "--out", "f", "--prefer", "first")
    assert status == 0
    said = "  1 have other bits in another directory, and are those of the first that has them: "
    assert f"{said}{second.key} (all in provenance.json)" in out
    assert mlpspec.load("f").params(second.key).flatten()[0, 0] == 1.0


def test_an_error_names_the_file_that_it_is_about(tmp_path, capsys, monkeypatch):
    for name, run in zip("ab", STUDY.runs, strict=False):
        made(name, record(run))
    (tmp_path / "empty").mkdir()
    with monkeypatch.context() as patch:
        patch.chdir("empty")  # which cannot be replaced from inside
        status, _, err = call(capsys, "merge", "../a", "../b", "--out", ".")
    assert (status, err[:36]) == (2, "mlpspec: error: cannot write to .: D")
    (tmp_path / "a" / "study.sqlite").rename(tmp_path / "a" / "other")
    (tmp_path / "a" / "study.sqlite").mkdir()
    status, _, err = call(capsys, "merge", "a", "b", "--out", "c")
    assert (status, err) == (
        2,
        "mlpspec: error: a/study.sqlite is not a file; remove it or mend it\n",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "empty"]
