"""Faults made for real: killed processes, full disks, directories that cannot be written."""

import contextlib
import ctypes
import os
import random
import resource
import signal
import sqlite3
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
from helpers import COMMAND, LONG, finish, heed_ctrl_c, runs_csv, start_mlpspec, stored
from joblib.externals import loky

import mlpspec
from mlpspec.errors import KILLED, WorkerLostError
from mlpspec.running import runner, workers
from mlpspec.store import database
from mlpspec.store.store import Store

SMALL = mlpspec.studies.paper().replace(seed=(0, 1), n_samples=(3, 10), steps=40)
VICTIM = next(r for r in SMALL.runs if r.label == "overlap" and r.seed == 1 and r.n_samples == 10)
real_work = workers._work


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


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_only_the_run_that_kills_its_worker_fails(
    reference, tmp_path, monkeypatch, batch_size, caplog
):
    monkeypatch.setattr(workers, "_work", killed_by_a_run)
    results = mlpspec.run_study(SMALL, tmp_path, n_jobs=2, batch_size=batch_size)
    assert results.errors == {VICTIM.key: KILLED}
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert sum("a worker was killed" in message for message in warned) >= 3
    assert sum(f"run {VICTIM.key} (overlap, N=10, seed 1) failed" in said for said in warned) == 1
    monkeypatch.undo()
    mended = mlpspec.run_study(SMALL, tmp_path, n_jobs=1)
    assert [session["runs"] for session in mended.sessions] == [31, 1]
    assert runs_csv(tmp_path) == reference


@pytest.mark.slow
def test_progress_is_shown_of_finished_batches_only(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(workers, "_work", killed_by_a_run)
    recorded = contextlib.nullcontext(shown.append)
    monkeypatch.setattr(runner, "progress_of", lambda name, batches: recorded)
    mlpspec.run_study(SMALL, tmp_path, n_jobs=2, batch_size=16, progress=True)
    assert all(shown)
    assert sum(map(len, shown)) == 32


@pytest.mark.slow
def test_a_worker_may_die_while_batches_are_handed_out(reference, tmp_path, monkeypatch):
    handed_out = []

    def killing(work, pending, sent):
        for number, task in enumerate(real_tasks(work, pending, sent)):
            yield task
            if number == 1 and not handed_out:
                handed_out.append(task)
                workers = loky.reusable_executor._executor._processes
                os.kill(next(iter(workers)), signal.SIGKILL)
                time.sleep(0.5)

    real_tasks = workers._tasks
    monkeypatch.setattr(workers, "_tasks", killing)
    mlpspec.run_study(SMALL, tmp_path, n_jobs=2, batch_size=2)
    assert len(handed_out) == 1
    assert runs_csv(tmp_path) == reference


@pytest.mark.slow
def test_workers_that_cannot_live_end_the_study(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_work", killed_always)
    with pytest.raises(WorkerLostError, match="every worker is killed, even one that has nothing"):
        mlpspec.run_study(SMALL.replace(seed=(0,), n_samples=(3,)), tmp_path, n_jobs=2)
    # A store begins with the first results, of which there are none.
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_backend_without_generators_stores_as_it_goes(reference, tmp_path):
    import joblib

    with joblib.parallel_config(backend="multiprocessing"):
        mlpspec.run_study(SMALL, tmp_path, n_jobs=2, batch_size=2)
    assert runs_csv(tmp_path) == reference


# From here on the real command line, in processes of its own.


def start(place, *, before=heed_ctrl_c, arguments=COMMAND):
    return start_mlpspec(*arguments, cwd=place, before=before)


def wait_for_runs(process, directory, at_least=1):
    while stored(directory) < at_least and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None, "it ended before the test could disturb it"


def workers_of(process):
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process.pid and "LokyProcess" in (place / "cmdline").read_text():
                found.append(int(place.name))
    return found


def contents(directory):
    with Store.open(directory) as opened:
        return {row[0]: row for row in opened.rows("runs")}


@pytest.mark.slow
def test_killed_at_fifty_moments(undisturbed, tmp_path):
    rng = random.Random(50)
    kills = rounds = 0
    while kills < 50:
        place = tmp_path / str(rounds)
        place.mkdir()
        rounds += 1
        kept = {}
        while kills < 50:
            process = start(place)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0.2, 1.5))
            process.kill()
            if process.wait() != -signal.SIGKILL:
                break
            kills += 1
            if stored(place / "r"):
                now = contents(place / "r")
                assert {key: now[key] for key in kept} == kept  # nothing lost, nothing trained anew
                kept = now
        status, out, err = finish(start(place), place)
        assert status == 0, err
        assert f"trained {len(LONG.runs) - len(kept)} runs" in out or "nothing to train" in out
        assert runs_csv(place / "r") == undisturbed
        assert {key: contents(place / "r")[key] for key in kept} == kept


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_killed_worker_costs_nothing(undisturbed, tmp_path, seed):
    process = start(tmp_path)
    if seed:
        wait_for_runs(process, tmp_path / "r")
    while not (workers := workers_of(process)):
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0, 0.3))
    os.kill(workers[seed % len(workers)], signal.SIGKILL)
    status, out, err = finish(process, tmp_path)
    assert (status, "Traceback" in err) == (0, False), err
    assert "trained 96 runs" in out
    assert runs_csv(tmp_path / "r") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [False, True])
def test_terminated(undisturbed, tmp_path, whole_group):
    process = start(tmp_path)
    wait_for_runs(process, tmp_path / "r")
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGTERM)
    status, _, err = finish(process, tmp_path)
    assert status == 130
    assert "of 96 runs are kept in r; continue with: mlpspec run" in err
    assert "Traceback" not in err
    assert finish(start(tmp_path), tmp_path)[0] == 0
    assert runs_csv(tmp_path / "r") == undisturbed


def loads_modules(process):
    """Return whether the command is loading its modules, of which sqlite3 is one."""
    return "sqlite3" in Path(f"/proc/{process.pid}/maps").read_text()


@pytest.mark.slow
def test_ctrl_c_at_any_moment_leaves_no_traceback(tmp_path):
    for number in range(25):
        place = tmp_path / str(number)
        place.mkdir()
        process = start(place)
        # From when the command loads its modules to the middle of training.
        begun = partial(loads_modules, process) if number < 5 else (place / "r" / ".lock").exists
        while not begun() and process.poll() is None:
            time.sleep(0.001)
        time.sleep(0.05 * (number if number < 5 else number - 5))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        status, _, err = finish(process, place)
        assert "Traceback" not in err, err
        # Python itself may end by the signal, of which a shell says 130 too: while it loads
        # modules, with nothing begun, and while it shuts down, with everything stored.
        if status == -signal.SIGINT and not (place / "r").exists():
            assert number < 5
            continue
        done = status in (0, -signal.SIGINT) and len(contents(place / "r")) == 96
        assert status == 130 or done


@contextlib.contextmanager
def small_disk(place, size):
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def ends_with_one_line(process, place, word):
    status, _, err = finish(process, place)
    lines = [line for line in err.splitlines() if line.startswith("mlpspec: ")]
    assert status == 2, err
    assert len(lines) == 1
    assert word in lines[0]
    assert "what was stored before is kept" in lines[0]
    assert "Traceback" not in err


@pytest.mark.slow
def test_full_disk(undisturbed, tmp_path):
    with small_disk(tmp_path / "disk", "200k"):
        there = [*COMMAND[:-1], "disk/r"]
        ends_with_one_line(start(tmp_path, arguments=there), tmp_path, "disk is full")
        kept = stored(tmp_path / "disk" / "r")
        assert 0 < kept < 96
        subprocess.run(["mount", "-o", "remount,size=10m", str(tmp_path / "disk")], check=True)
        status, out, err = finish(start(tmp_path, arguments=there), tmp_path)
        assert status == 0, err
        assert f"trained {96 - kept} runs" in out
        assert runs_csv(tmp_path / "disk" / "r") == undisturbed


@pytest.mark.slow
def test_no_file_may_grow(undisturbed, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (160_000, 160_000))

    ends_with_one_line(start(tmp_path, before=limit), tmp_path, "the store failed")
    assert 0 < stored(tmp_path / "r") < 96
    assert finish(start(tmp_path), tmp_path)[0] == 0
    assert runs_csv(tmp_path / "r") == undisturbed


def without_the_power_of_root():
    """From here on permissions bind root too."""
    drop_from_bounding_set, override, read_search = 24, 1, 2
    libc = ctypes.CDLL(None)
    for capability in (override, read_search) if os.getuid() == 0 else ():
        assert libc.prctl(drop_from_bounding_set, capability, 0, 0, 0) == 0


@pytest.mark.slow
def test_directory_turns_read_only(undisturbed, tmp_path):
    process = start(tmp_path, before=without_the_power_of_root)
    wait_for_runs(process, tmp_path / "r")
    (tmp_path / "r").chmod(0o555)
    ends_with_one_line(process, tmp_path, "the store failed")
    status, _, err = finish(start(tmp_path, before=without_the_power_of_root), tmp_path)
    assert (status, err.count("\n")) == (2, 1), err
    (tmp_path / "r").chmod(0o755)
    assert finish(start(tmp_path), tmp_path)[0] == 0
    assert runs_csv(tmp_path / "r") == undisturbed


@pytest.mark.slow
def test_two_at_once(undisturbed, tmp_path):
    process = start_mlpspec(*COMMAND, cwd=tmp_path)
    wait_for_runs(process, tmp_path / "r")
    process.send_signal(signal.SIGSTOP)  # it must not finish meanwhile, however busy the machine
    (tmp_path / "second").mkdir()
    second = start(tmp_path / "second", arguments=[*COMMAND[:-1], str(tmp_path / "r")])
    status, _, err = finish(second, tmp_path / "second")
    process.send_signal(signal.SIGCONT)
    assert process.poll() is None
    assert (status, err.count("\n")) == (2, 1)
    assert "is in use by another mlpspec run" in err
    assert finish(process, tmp_path)[0] == 0
    assert runs_csv(tmp_path / "r") == undisturbed


@pytest.mark.slow
def test_a_worker_without_memory_fails_its_run_alone(tmp_path):
    def limit():  # to less than libraries and one array of responses take
        resource.setrlimit(resource.RLIMIT_AS, (3 * 2**29, 3 * 2**29))

    command = ["run", "--only", "--sizes", "3,12000", "--seeds", "0:1", "--set", "steps=2"]
    process = start(tmp_path, before=limit, arguments=[*command, "--jobs", "2", "--out", "r"])
    status, out, err = finish(process, tmp_path)
    assert status == 1
    assert "8 ok, 0 diverged, 8 failed" in out
    assert "Unable to allocate" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_long_reader_does_not_stop_a_writer(tmp_path):
    """SQLite alone would give up after five seconds."""
    process = start(tmp_path)
    wait_for_runs(process, tmp_path / "r")
    with contextlib.closing(sqlite3.connect(tmp_path / "r" / "study.sqlite")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM runs").fetchone()
        time.sleep(7)
        assert process.poll() is None
    assert finish(process, tmp_path)[0] == 0
    assert database._WAIT > 60
