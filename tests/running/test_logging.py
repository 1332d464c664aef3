import logging
import re

import pytest

import mlpspec
from mlpspec.cli import command as cli
from mlpspec.running import worker
from mlpspec.study.study import Study

SMALL = Study("small", {"losses": ("baseline", "overlap"), "seed": (0, 1)}, {"n_samples": 3})
SMALL = SMALL.replace(steps=5)
RUN = ["run", "--only", "--set", "steps=2", "--sizes", "3", "--seeds", "0:1", "--jobs", "1"]


def told(caplog):
    """What was logged since the last call, without what differs from time to time."""
    assert {record.name.partition(".")[0] for record in caplog.records} <= {"mlpspec"}
    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    caplog.clear()
    return [(level, re.sub(r"[\d.]+ s\b", "T s", message)) for level, message in found]


def test_a_study_can_be_followed(tmp_path, caplog):
    caplog.set_level("INFO", logger="mlpspec")
    run = {"n_jobs": 1, "engine": "numpy", "batch_size": 2}
    mlpspec.run_study(SMALL.replace(seed=(0,)), tmp_path, **run)
    assert told(caplog) == [
        ("INFO", f"small: 2 runs, of which 0 are in {tmp_path}"),
        ("INFO", "small: the numpy engine trains"),
        ("INFO", "small: 2 runs to train in 1 batches on 1 workers"),
        ("INFO", f"small: made a store in {tmp_path}"),
        ("INFO", "small: session 1 begins"),
        ("INFO", "small: 2 of 2 runs; a batch of 2 runs (N=3, K=3, D=1) took T s"),
        ("INFO", "small: the session ends after T s: 2 ok, 0 diverged, 0 failed"),
    ]
    mlpspec.run_study(SMALL, tmp_path, n_jobs=1)
    assert told(caplog)[1:5] == [
        ("INFO", "small: the numpy engine trains, the last session had the numpy one"),
        ("INFO", f"small: goes on with the store in {tmp_path}"),
        ("INFO", "small: 2 runs to train in 1 batches on 1 workers"),
        ("INFO", "small: session 2 begins"),
    ]
    mlpspec.run_study(SMALL, tmp_path, n_jobs=1)
    assert told(caplog) == [("INFO", f"small: 4 runs, of which 4 are in {tmp_path}")]


def test_runs_that_fail_or_diverge_are_named(tmp_path, caplog, monkeypatch):
    real = worker._train_together

    def faulty(batch, *others):
        if any(run.label == "overlap" for run in batch):
            raise ArithmeticError("the worker fell over")
        return real(batch, *others)

    monkeypatch.setattr(worker, "_train_together", faulty)
    caplog.set_level("INFO", logger="mlpspec")
    steep = SMALL.replace(seed=(0,), learning_rate=1e200, optimizer="gradient_descent")
    first, second = (run.key for run in steep.runs)
    mlpspec.run_study(steep, tmp_path, n_jobs=1, engine="numpy")
    found = told(caplog)
    assert ("INFO", f"small: run {first} (baseline, N=3, seed 0) diverged") in found
    assert [entry for entry in found if entry[0] != "INFO"] == [
        (
            "WARNING",
            f"small: run {second} (overlap, N=3, seed 0) failed: "
            "ArithmeticError: the worker fell over",
        )
    ]
    assert found[-1][1].endswith("0 ok, 1 diverged, 1 failed")


@pytest.mark.slow
def test_the_log_is_the_same_for_any_workers(tmp_path, caplog):
    """Nothing that workers do is told twice, or not at all."""
    caplog.set_level("INFO", logger="mlpspec")
    logs = []
    for n_jobs in (1, 2):
        mlpspec.run_study(SMALL, tmp_path / "same", n_jobs=n_jobs, batch_size=1, engine="numpy")
        logs.append([re.sub(r"\d of 4|on \d workers", "", message) for _, message in told(caplog)])
        (tmp_path / "same").rename(tmp_path / str(n_jobs))
    assert sum("a batch of 1 runs" in message for message in logs[0]) == 4
    assert sorted(logs[1]) == sorted(logs[0])


def test_the_command_tells_nothing_of_it_unless_verbose(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(RUN) == 0
    quiet = capsys.readouterr()
    assert cli.main([*RUN, "--out", "other", "-v"]) == 0
    verbose = capsys.readouterr()
    assert "batch" not in quiet.err
    # The log takes the place of the plain lines; what the command prints stays the same.
    assert [len(text.splitlines()) for text in (quiet.out, verbose.out)] == [1, 1]
    assert "runs, 0 failed" in quiet.err
    assert "runs, 0 failed" not in verbose.err
    lines = verbose.err.splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d paper: ", line) for line in lines), lines
    assert sum("8 of 8 runs; a batch of 8 runs" in line for line in lines) == 1
    handlers = logging.getLogger("mlpspec").handlers
    assert [type(handler) for handler in handlers] == [logging.NullHandler]
    assert cli.main([*RUN, "-v", "--quiet"]) == 2
    assert "not allowed with argument" in capsys.readouterr().err
