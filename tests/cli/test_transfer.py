"""Starts and targets that are ends of other runs, as a user of the command line meets them."""

import shutil

import pytest

import mlpspec
from mlpspec.cli import command as cli
from mlpspec.data.held import HELD


@pytest.fixture(autouse=True)
def in_a_new_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    HELD.clear()


def run(capsys, out, *settings, seeds="0:2", more=()):
    """One command, in what is a new process as far as networks go."""
    HELD.clear()
    command = ["run", "--only", "--sizes", "5", "--subsets", "coverage", "--seeds", seeds]
    status = cli.main([*command, "--jobs", "1", "--out", out, *more, "--set", *settings])
    return status, capsys.readouterr().err


def first_key(directory):
    return str(mlpspec.load(directory).table["key"][0])


def test_the_same_command_goes_on_when_the_source_is_gone(capsys):
    assert run(capsys, "first", "steps=9")[0] == 0
    end = f"run:first/{first_key('first')}"
    for setting in ("start", "target"):
        chosen = f"{setting}={end}", "steps=5"
        assert run(capsys, setting, *chosen)[0] == 0
    before = {*mlpspec.load("start").runs}
    shutil.move("first", "moved")
    status, err = run(capsys, "start", f"start={end}", "steps=5", seeds="0:3")
    assert status == 0
    assert "'first' is not a results directory" in err
    assert f"start keeps the parameters that run {end[-16:]} had" in err
    assert before < {*mlpspec.load("start").runs}
    status, err = run(capsys, "new", f"start={end}", "steps=5")
    assert (status, err) == (
        2,
        f"mlpspec: error: start is {end}: 'first' is not a results directory: no study.sqlite in "
        "it\n",
    )
    moved = f"run:moved/{end[-16:]}"
    assert run(capsys, "start", f"start={moved}", "steps=5", more=["--dry-run"]) == (0, "")


def test_parameters_that_are_lost_are_named_and_come_back_from_their_source(capsys):
    assert run(capsys, "first", "steps=9")[0] == 0
    end = f"start=run:first/{first_key('first')}"
    assert run(capsys, "next", end, "steps=5")[0] == 0
    with mlpspec.store.store.Store.open("next", write=True) as store, store._db as database:
        database.execute("UPDATE datasets SET x = zeroblob(8) WHERE key LIKE 'ridge:%'")
    HELD.clear()
    assert cli.main(["recover", "next", "--out", "saved"]) == 1
    out = capsys.readouterr().out
    assert "0 are lost\nlost too: parameters that runs start from or learn (ridge:" in out
    shutil.move("first", "moved")
    status, err = run(capsys, "saved", end, "steps=5", seeds="0:3")
    assert (status, "keeps the parameters" in err) == (2, False)
    assert "'first' is not a results directory" in err
    shutil.move("moved", "first")
    assert run(capsys, "saved", end, "steps=5", seeds="0:3")[0] == 0
    HELD.clear()
    assert len(mlpspec.load("saved").runs) == 3
    assert HELD


def test_a_source_with_other_parameters_is_refused(capsys):
    assert run(capsys, "first", "steps=9")[0] == 0
    key = first_key("first")
    assert run(capsys, "next", f"start=run:first/{key}", "steps=5")[0] == 0
    before = mlpspec.load("next").study.settings["start"]
    with mlpspec.store.store.Store.open("first", write=True) as store:
        row = next(row for row in store.rows("runs") if row[0] == key)
        other = next(row for row in store.rows("runs") if row[0] != key)
        store._db.execute("DELETE FROM runs WHERE key = ?", [key])
        store.restore("runs", [[*row[:5], other[5], *row[6:]]])
    status, err = run(capsys, "next", f"start=run:first/{key}", "steps=5", seeds="0:3")
    assert status == 2
    assert err == (
        f"mlpspec: error: run {key} of first has other parameters than when next was made with it; "
        f"go on with --set start={before}, or give another directory with --out\n"
    )
    assert run(capsys, "next", f"start={before}", "steps=5", seeds="0:3")[0] == 0
    assert len(mlpspec.load("next").runs) == 3


def test_what_names_no_run_gets_one_line(capsys):
    study = mlpspec.Study("mine", {"seed": (0,)}, {"n_samples": 5, "steps": 1})
    mlpspec.run_study(study, "first", n_jobs=1)
    form = "give start=run:DIRECTORY/KEY, with a results directory and a key from its runs.csv"
    for value, message in {
        "run:first": f"start is 'run:first'; {form}",
        "run:./first": form,
        "run:dc7bb7477c92cb54": form,
        "run:": form,
        "run:first/dc7bb7477c92cb54": "first has no run 'dc7bb7477c92cb54'; keys are in runs.csv",
    }.items():
        status, err = run(capsys, "next", f"start={value}")
        assert status == 2
        assert message in err
        assert err.count("\n") == 1
