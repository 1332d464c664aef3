"""The command and its workers in surroundings that are not what libraries take for granted."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from helpers import ROOT, runs_csv

import mlpspec
from mlpspec.errors import InputError
from mlpspec.running import cluster
from mlpspec.running.signals import unreachable_by_ctrl_c

QUICK = ["run", "--only", "--quiet", "--sizes", "3", "--seeds", "0:1", "--set", "steps=5"]


def start(place, *arguments, closed=(), **environment):
    """Run the command with some of its standard streams closed."""
    return subprocess.run(
        [sys.executable, "-m", "mlpspec", *arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        preexec_fn=lambda: [os.close(number) for number in closed],
        capture_output=True,
        text=True,
        check=False,
    )


def run_script(place, text):
    """Run a script that has `mlpspec` and what lies beside it."""
    (place / "script.py").write_text(text)
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("closed", [pytest.param((1,), marks=pytest.mark.slow), (0, 1, 2)])
def test_closed_streams(tmp_path, closed):
    assert start(tmp_path, *QUICK, "--jobs", "2", "--out", "r", closed=closed).returncode == 0
    assert {row["status"] for row in runs_csv(tmp_path / "r")} == {"ok"}
    assert start(tmp_path, "status", "r", closed=closed).returncode == 0


@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_scripts_of_the_working_directory_are_not_run(tmp_path, jobs):
    for name in ("random", "queue", "copy", "numpy", "json", "sqlite3", "typing", "joblib"):
        (tmp_path / f"{name}.py").write_text(f"open('ran-{name}', 'w')\nraise SystemExit(7)\n")
    done = start(tmp_path, *QUICK, "--jobs", jobs, "--out", "r")
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.glob("ran-*")) == []


def test_a_module_beside_a_script_is_found_by_workers(tmp_path):
    (tmp_path / "beside.py").write_text(
        "from dataclasses import dataclass\nfrom functools import lru_cache\nimport mlpspec\n"
        "@lru_cache\ndef two(): return 2.0\n"
        "@dataclass(frozen=True)\nclass L(mlpspec.StructuralLoss):\n"
        "    def value_and_grad(self, forward):\n        p = forward.prototypes\n"
        "        return (p**2).sum(axis=(1, 2)), {'prototypes': two() * p}\n"
    )
    done = run_script(
        tmp_path,
        "import mlpspec, beside\nif __name__ == '__main__':\n"
        "    study = mlpspec.Study('s', {'seed': (0, 1)}, {'steps': 5, 'n_samples': 3})\n"
        "    study = study.with_losses({'own': beside.L()}, 'own')\n"
        "    print(set(mlpspec.run_study(study, 'r', n_jobs=2).table['status'].tolist()))\n",
    )
    assert (done.stdout, done.stderr) == ("{'ok'}\n", "")


FILE = """
from dataclasses import dataclass
import enum, functools, threading
import mlpspec
LOCK = threading.Lock()
class Mode(enum.Enum):
    A = 1
@functools.lru_cache
def two(mode):
    with LOCK:
        return 2.0 if mode is Mode.A else 5.0
@dataclass(frozen=True)
class L(mlpspec.StructuralLoss):
    def value_and_grad(self, forward):
        p = forward.prototypes
        return (p**2).sum(axis=(1, 2)), {"prototypes": two(Mode.A) * p}
"""


@pytest.mark.slow
def test_what_is_pickled_by_reference_reaches_workers(tmp_path):
    (tmp_path / "own.py").write_text(FILE)
    for jobs in "12":
        command = [*QUICK, "--jobs", jobs, "--out", jobs, "--subsets", "own"]
        done = start(tmp_path, *command, "--loss", "own=own.py:L")
        assert (done.returncode, done.stderr) == (0, "")
    assert runs_csv(tmp_path / "1") == runs_csv(tmp_path / "2")


def test_what_cannot_travel_is_said_before_anything_is_trained(tmp_path):
    done = run_script(
        tmp_path,
        FILE + "study = mlpspec.Study('s', {'seed': (0,)}, {'steps': 5, 'n_samples': 3})\n"
        "study = study.with_losses({'own': L()}, 'own')\n"
        "for jobs in (1, 2):\n"
        "    try:\n        mlpspec.run_study(study, 'r', n_jobs=jobs)\n"
        "    except mlpspec.InputError as error:\n        print(error)\n",
    )
    assert done.stdout.count("own cannot be given to workers (TypeError: cannot pickle") == 2
    assert (done.stdout.count("\n"), done.stderr) == (2, "")
    assert not (tmp_path / "r").exists()


RAISED = """
from dataclasses import dataclass
import mlpspec
class Odd(KeyboardInterrupt):
    def __str__(self):
        raise ValueError
@dataclass(frozen=True)
class L(mlpspec.StructuralLoss):
    def value_and_grad(self, forward):
        raise Odd
"""


def test_an_exception_that_is_none_fails_its_runs(tmp_path):
    (tmp_path / "own.py").write_text(RAISED)
    command = [*QUICK, "--jobs", "1", "--out", "r", "--subsets", "own", "--loss", "own=own.py:L"]
    done = start(tmp_path, *command)
    assert done.returncode == 1
    assert "Odd: (its message cannot be had: ValueError)" in done.stderr
    assert "Traceback" not in done.stderr
    assert {row["status"] for row in runs_csv(tmp_path / "r")} == {"failed"}


def test_numba_that_compiles_nothing_is_not_used(tmp_path):
    done = start(tmp_path, *QUICK, "--jobs", "1", "--out", "r", NUMBA_DISABLE_JIT="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert mlpspec.load(tmp_path / "r").sessions[0]["engine"] == "numpy"


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-x\r\n"])
def test_a_server_that_is_no_scheduler_is_told_soon(monkeypatch, greeting):
    monkeypatch.setattr(cluster, "GREETING", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        waiting = []

        def greet():
            waiting.append(server.accept()[0])
            waiting[0].sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        began = time.monotonic()
        with pytest.raises(InputError, match="no Dask scheduler answers"):
            cluster.connect(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        assert time.monotonic() - began < 5.0
        thread.join()
        waiting[0].close()


def test_ctrl_c_waits_until_workers_are_started_whichever_thread_hears_it():
    over, started = threading.Event(), []
    thread = threading.Thread(target=over.wait)
    thread.start()

    def start_a_worker():
        with unreachable_by_ctrl_c():
            signal.pthread_kill(thread.ident, signal.SIGINT)
            time.sleep(0.05)
            started.append("a worker")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            start_a_worker()
    finally:
        signal.signal(signal.SIGINT, before)
        over.set()
        thread.join()
    assert started


def test_workers_that_import_other_values_are_refused(tmp_path):
    """A lock keeps the module from travelling; what it held when it was loaded is no more."""
    (tmp_path / "beside.py").write_text(FILE.replace("2.0 if", "SCALE if") + "SCALE = 2.0\n")
    done = run_script(
        tmp_path,
        "import mlpspec, beside\nif __name__ == '__main__':\n"
        "    study = mlpspec.Study('s', {'seed': (0, 1)}, {'steps': 5, 'n_samples': 3})\n"
        "    for beside.SCALE in (2.0, 3.0):\n"
        "        own = study.with_losses({'own': beside.L()}, 'own')\n"
        "        try:\n            mlpspec.run_study(own, f'r{beside.SCALE}', n_jobs=2)\n"
        "        except mlpspec.InputError as error:\n            print(error)\n",
    )
    assert done.stdout.startswith("a worker that imports the loss own has other code")
    assert (done.stdout.count("\n"), done.stderr) == (1, "")
    assert len(runs_csv(tmp_path / "r2.0")) == 2
