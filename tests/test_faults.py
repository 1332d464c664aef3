"""Faults made for real: killed processes, full disks, damaged stores."""

import os
import signal

import pytest
from test_runner import runs_csv

import mlpspec
from mlpspec import runner
from mlpspec.errors import WorkerLostError

SMALL = mlpspec.studies.paper().replace(seed=(0, 1), n_samples=(3, 10), steps=40)
VICTIM = next(r for r in SMALL.runs if r.label == "overlap" and r.seed == 1 and r.n_samples == 10)
real_work = runner._work


def killed_by_a_run(payload, owner, number, batch):
    if VICTIM in batch:
        os.kill(os.getpid(), signal.SIGKILL)
    return real_work(payload, owner, number, batch)


def killed_always(payload, owner, number, batch):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    out = tmp_path_factory.mktemp("faults") / "reference"
    mlpspec.run_study(SMALL, out, n_jobs=1)
    return runs_csv(out)


def test_only_the_run_that_kills_its_worker_fails(reference, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_work", killed_by_a_run)
    results = mlpspec.run_study(SMALL, tmp_path, n_jobs=2, batch_size=4)
    assert results.errors == {VICTIM.key: runner.KILLED}
    monkeypatch.undo()
    mended = mlpspec.run_study(SMALL, tmp_path, n_jobs=1)
    assert [session["runs"] for session in mended.sessions] == [31, 1]
    assert runs_csv(tmp_path) == reference


@pytest.mark.slow
def test_workers_that_cannot_live_end_the_study(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_work", killed_always)
    with pytest.raises(WorkerLostError, match="every worker is killed, even one that has nothing"):
        mlpspec.run_study(SMALL.replace(seed=(0,), n_samples=(3,)), tmp_path, n_jobs=2)
    assert mlpspec.load(tmp_path).status == {}
