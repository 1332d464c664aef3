import contextlib
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, finish, runs_csv, same_bits, start_mlpspec, stored

import mlpspec
from mlpspec.analysis.analysis import Analysis
from mlpspec.data.tabular import read_columns
from mlpspec.errors import InputError
from mlpspec.report import figures
from mlpspec.running import planning, runner, worker
from mlpspec.running.progress import estimate
from mlpspec.store.database import FILE_NAME
from mlpspec.store.store import Store
from mlpspec.study.problem import data_of, losses_of, start_of
from mlpspec.study.run import Run
from mlpspec.study.study import Study
from mlpspec.training.engine import choose

SMALL = mlpspec.studies.paper().replace(seed=(0, 1), n_samples=(3, 10), steps=40)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    out = tmp_path_factory.mktemp("runner") / "reference"
    mlpspec.run_study(SMALL, out, n_jobs=1)
    return runs_csv(out)


@pytest.mark.parametrize(("n_jobs", "batch_size"), [(2, None), (1, 1), (2, 5)])
def test_same_bits_for_any_workers_and_batches(reference, tmp_path, n_jobs, batch_size):
    mlpspec.run_study(SMALL, tmp_path / "r", n_jobs=n_jobs, batch_size=batch_size)
    assert runs_csv(tmp_path / "r") == reference


CHOSEN = Study(
    "chosen",
    {"losses": ((), ("coverage",), ("coverage", "overlap")), "n_samples": (5,), "seed": range(8)},
    {"steps": 60},
    variants={
        "dropout": {"dropout": 0.2},
        "deactivation": {"deactivation": 0.05},
        "jitter": {"jitter": 0.05},
        "noise": {"target_noise": 0.1},
        "adversarial": {"adversarial": 0.02},
        "all": {"dropout": 0.2, "jitter": 0.05, "target_noise": 0.1, "losses_until": 0.5},
        "plateau": {"early_stopping": "plateau(every=5,patience=2,tolerance=0.2)"},
        "held_out": {"early_stopping": "held_out(every=5,patience=2)"},
        "lbfgs": {"optimizer": "lbfgs"},
        "kernel": {"optimizer": "adamw", "schedule": "cosine", "warmup": 0.1, "l1": 0.001},
    },
)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    out = tmp_path_factory.mktemp("chosen") / "reference"
    results = mlpspec.run_study(CHOSEN, out, n_jobs=1)
    assert {*results.status.values()} == {"ok"}
    table = results.table
    for variant in ("plateau", "held_out"):
        assert len({*table["steps_taken"][table["variant"] == variant]}) > 1
    names = ["dropout", "deactivation", "jitter", "noise", "adversarial", "all"]
    perturbed = np.isin(table["variant"], names)
    assert len({*table["gradient_norm"][perturbed]}) == perturbed.sum() == 6 * 24
    return runs_csv(out)


@pytest.mark.parametrize(
    ("n_jobs", "batch_size"),
    [(2, 7), *(pytest.param(1, b, marks=pytest.mark.slow) for b in (1, 24))],
)
def test_chance_and_stops_are_a_run_s_own(chosen, tmp_path, n_jobs, batch_size):
    mlpspec.run_study(CHOSEN, tmp_path / "r", n_jobs=n_jobs, batch_size=batch_size)
    assert runs_csv(tmp_path / "r") == chosen


def test_same_bits_if_subsets_are_not_merged(reference, tmp_path):
    for subset in reversed(SMALL.axes["losses"]):
        one = Study("paper", {**SMALL.axes, "losses": (subset,)}, SMALL.settings)
        mlpspec.run_study(one, tmp_path, n_jobs=1)
    assert runs_csv(tmp_path) == reference
    assert len(mlpspec.load(tmp_path).sessions) == 8


def test_only_what_is_missing_is_trained(tmp_path):
    first = mlpspec.run_study(SMALL.replace(seed=(0,)), tmp_path, n_jobs=1)
    before = first.table["seconds"]
    again = mlpspec.run_study(SMALL.replace(seed=(0,)), tmp_path, n_jobs=1)
    assert len(again.sessions) == 1
    more = mlpspec.run_study(SMALL, tmp_path, n_jobs=1)
    assert [session["runs"] for session in more.sessions] == [16, 16]
    kept = more.table["seed"] == 0
    assert same_bits(more.table["seconds"][kept], before)


def test_a_changed_setting_is_refused(tmp_path):
    mlpspec.run_study(SMALL.replace(seed=(0,)), tmp_path, n_jobs=1)
    before = (tmp_path / "study.sqlite").read_bytes()
    with pytest.raises(ValueError, match=r"was made with steps=40 \(asked: 41\)"):
        mlpspec.run_study(SMALL.replace(steps=41), tmp_path)
    assert (tmp_path / "study.sqlite").read_bytes() == before


def test_backend_is_the_callers_choice(reference, tmp_path):
    import joblib

    with joblib.parallel_config(backend="threading"):
        mlpspec.run_study(SMALL, tmp_path, n_jobs=2)
    assert runs_csv(tmp_path) == reference


def test_runs_of_one_batch_fail_alone():
    # Separation cannot be given a force between prototypes that are too far apart for it.
    settings = {"weight_unit": "force", "temperature": 1e-7, "steps": 5, "n_samples": 3}
    batch = [Run(seed=1, **settings), Run(losses="separation", **settings)]
    batch.append(Run(losses="coverage", **settings))
    good, bad, also_good = worker.train_batch(tuple(batch))
    assert [record.status for record in (good, bad, also_good)] == ["ok", "failed", "ok"]
    assert "separation is inert at the start" in bad.error
    assert bad.params is None
    (alone,) = worker.train_batch((batch[0],))
    assert same_bits(alone.params, good.params)


def test_runs_of_one_batch_are_measured_as_they_are_alone():
    """Data, domains and losses may differ within a batch."""
    batch = (
        Run(seed=1, steps=3),
        Run(losses="separation", temperature=0.5, steps=3),
        Run(dataset="uniform(high=3.0)", target="random", steps=3),
        Run(losses="coverage", shift=1.0, steps=3),
        Run(losses="overlap", seed=1, weight=0.3, steps=3),
    )
    for run, together in zip(batch, worker.train_batch(batch), strict=True):
        (alone,) = worker.train_batch((run,))
        assert {**together.measurements, "seconds": 0} == {**alone.measurements, "seconds": 0}
        for name in ("x", "y", "params"):
            assert same_bits(getattr(together, name), getattr(alone, name)), name


def test_failed_runs_are_tried_again(tmp_path, monkeypatch):
    study = SMALL.replace(seed=(0,), n_samples=(3,))
    real = worker._train_together

    def faulty(batch, *others):
        if any(run.label == "overlap" for run in batch):
            raise ArithmeticError("the worker fell over")
        return real(batch, *others)

    monkeypatch.setattr(worker, "_train_together", faulty)
    results = mlpspec.run_study(study, tmp_path, n_jobs=1)
    (key,) = results.errors
    assert "ArithmeticError: the worker fell over" in results.errors[key]
    assert results.runs[key].label == "overlap"
    assert np.isnan(results.table["fit_mse"][results.table["key"] == key]).all()
    summary = results.summary()
    assert summary["count"][summary["losses"] == "overlap"].tolist() == [0] * len(
        summary["count"][summary["losses"] == "overlap"]
    )
    monkeypatch.undo()
    mended = mlpspec.run_study(study, tmp_path, n_jobs=1)
    assert mended.errors == {}
    assert [session["runs"] for session in mended.sessions] == [7, 1]


def test_fail_fast_stops(tmp_path, monkeypatch):
    def faulty(*_):
        raise ArithmeticError

    monkeypatch.setattr(worker, "_train_together", faulty)
    results = mlpspec.run_study(SMALL, tmp_path, n_jobs=1, batch_size=1, fail_fast=True)
    assert len(results.errors) == 1


def test_bits_do_not_depend_on_the_threads_of_the_caller():
    """Above 10,000 responses OpenBLAS shares a dot product among threads."""
    from threadpoolctl import threadpool_limits

    batch = (Run(losses="overlap", n_samples=150, steps=2),)
    with threadpool_limits(1):
        (one,) = worker.train_batch(batch)
    with threadpool_limits(2):
        (two,) = worker.train_batch(batch)
    assert same_bits(one.params, two.params)
    assert {**one.measurements, "seconds": 0} == {**two.measurements, "seconds": 0}


def test_training_goes_on_when_nobody_listens(tmp_path):
    command = [sys.executable, "-m", "mlpspec", "run", "--only", "--seeds", "0:2", "--sizes", "3"]
    command += ["--set", "steps=5", "--jobs", "1", "--out", "r"]
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, stdout=writer, stderr=writer, check=False
    )
    os.close(writer)
    assert done.returncode == 0
    assert len(runs_csv(tmp_path / "r")) == 16


def test_diverged_runs_are_results(tmp_path):
    study = Study(
        "wild",
        {"losses": ((), ("coverage",)), "seed": range(3)},
        {"n_samples": 3, "learning_rate": 1e160, "optimizer": "gradient_descent", "steps": 20},
    )
    results = mlpspec.run_study(study, tmp_path, n_jobs=1)
    assert set(results.table["status"]) == {"diverged"}
    assert (results.table["steps_taken"] < 20).all()
    assert np.isfinite(results.params(results.table["key"][0]).flatten()).all()
    assert (results.summary()["count"] == 0).all()
    assert runner.missing_runs(study, tmp_path)[0] == []


def test_settings_reach_training(tmp_path):
    axes = {"seed": (0,), "losses": (("coverage",),)}
    tables = {}
    for name, value in {
        "steps": 25,
        "learning_rate": 0.02,
        "weight": 0.3,
        "fit_weight": 0.5,
        "weight_unit": "force",
        "temperature": 0.02,
        "temperature_unit": "spacing",
        "n_hidden": 5,
        "n_inputs": 2,
        "initializer": "standard_normal",
        "optimizer": "gradient_descent",
        "dtype": "float32",
        "record_every": 5,
    }.items():
        study = Study("s", axes, {"steps": 20, name: value})
        tables[name] = mlpspec.run_study(study, tmp_path / name, n_jobs=1)
    weights = [r.params(r.table["key"][0]).flatten().tobytes() for r in tables.values()]
    assert len(set(weights)) == len(tables)
    assert tables["n_inputs"].dataset(tables["n_inputs"].table["key"][0])[0].shape == (1, 10, 2)
    assert tables["dtype"].params(tables["dtype"].table["key"][0]).output_bias.dtype == np.float32


def test_temperature_in_units_of_the_spacing():
    # Width 2, N = 10: the spacing is 0.2, so a quarter of its square is 0.01.
    line = Run(temperature=0.25, separation_temperature=0.5, temperature_unit="spacing")
    assert losses_of(line)["coverage"].temperature == pytest.approx(0.01, rel=1e-15)
    assert losses_of(line)["separation"].temperature == pytest.approx(0.02, rel=1e-15)
    plane = Run(temperature=1.0, temperature_unit="spacing", n_samples=16, n_inputs=2)
    assert losses_of(plane)["coverage"].temperature == pytest.approx(0.25)


def test_data_and_start_depend_on_seed_and_shape_alone():
    run = Run(seed=3)
    (x, y), start = data_of(run), start_of(run)
    other = Run(seed=3, losses="overlap", steps=7, temperature=2.0)
    assert same_bits(x, data_of(other)[0])
    assert same_bits(y, data_of(other)[1])
    assert same_bits(start, start_of(other))
    assert not same_bits(x, data_of(Run(seed=4))[0])
    assert not same_bits(x, data_of(Run(seed=3, n_samples=11))[0][:10])
    np.testing.assert_allclose(y, np.sin(np.pi * x[:, 0]))
    slopes = np.abs(start[:10])
    assert ((slopes >= 1.25) & (slopes <= 3.75)).all()  # U(0.5, 1.5) times 10 / 4


def test_estimate_is_of_the_right_size(tmp_path):
    study = mlpspec.studies.paper().replace(seed=range(4), n_samples=(20,), steps=1500)
    batches = planning.plan(study.runs, 1)
    guess, _ = estimate(study, batches, 1, choose())
    began = time.perf_counter()
    mlpspec.run_study(study, tmp_path, n_jobs=1)
    assert guess / 5 < time.perf_counter() - began < guess * 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_jobs": 0}, "jobs is 0; it must be at least 1, or -1"),
        ({"n_jobs": -2}, "jobs is -2"),
        ({"n_jobs": True}, "jobs is True; it must be a whole number"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_bad_arguments_touch_nothing(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        mlpspec.run_study(SMALL, tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_a_directory_in_use_is_refused(tmp_path):
    with (
        runner._locked(tmp_path),
        pytest.raises(ValueError, match="is in use by another mlpspec run"),
    ):
        mlpspec.run_study(SMALL, tmp_path)
    assert not (tmp_path / "study.sqlite").exists()


KILLED = ["run", "--only", "--seeds", "0:2", "--sizes", "3,10,20", "--set", "steps=400"]
KILLED += ["--jobs", "2"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("killed") / "undisturbed"
    study = mlpspec.studies.paper().replace(seed=(0, 1), n_samples=(3, 10, 20), steps=400)
    mlpspec.run_study(study, out, n_jobs=1)
    return runs_csv(out)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_killed_with_sigkill_and_continued(undisturbed, tmp_path, seed):
    rng = random.Random(seed)
    out = tmp_path / "r"
    process = start_mlpspec(*KILLED, "--out", out, cwd=tmp_path)
    while stored(out) == 0 and process.poll() is None:
        time.sleep(0.005)
    time.sleep(rng.uniform(0.0, 0.3))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = stored(out)
    assert kept > 0
    again = start_mlpspec(*KILLED, "--out", out, cwd=tmp_path)
    status, told, err = finish(again, tmp_path)
    assert status == 0, err
    assert f"trained {48 - kept} runs" in told or (kept == 48 and "nothing to train" in told)
    assert runs_csv(out) == undisturbed


@pytest.mark.slow
def test_perturbed_training_is_killed_and_continued(tmp_path):
    choice = ["dropout=0.2", "jitter=0.05", "target_noise=0.1", "early_stopping=plateau"]
    line = ["run", "--only", "--seeds", "0:3", "--sizes", "3,5,10", "--jobs", "2"]
    line += ["--set", "steps=150", *choice]
    whole = start_mlpspec(*line, "--out", tmp_path / "whole", cwd=tmp_path)
    assert finish(whole, tmp_path)[0] == 0
    out = tmp_path / "r"
    process = start_mlpspec(*line, "--out", out, cwd=tmp_path)
    while stored(out) == 0 and process.poll() is None:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < stored(out) < 72
    assert finish(start_mlpspec(*line, "--out", out, cwd=tmp_path), tmp_path)[0] == 0
    assert runs_csv(out) == runs_csv(tmp_path / "whole")


@pytest.mark.slow
def test_interrupted_keeps_what_was_finished(tmp_path):
    # Twelve batches for two workers: the signal comes long before the last one, also if a disk is
    # slow to tell of the first.
    sizes = range(44, 56)
    study = mlpspec.studies.paper().replace(seed=(0,), n_samples=sizes, steps=4000)
    undisturbed = mlpspec.run_study(study, tmp_path / "undisturbed", n_jobs=2).directory
    long = ["run", "--only", "--seeds", "0", "--sizes", ",".join(map(str, sizes))]
    long += ["--set", "steps=4000"]
    long += ["--jobs", "2", "--out", str(tmp_path / "r")]
    process = start_mlpspec(*long, cwd=tmp_path)
    while stored(tmp_path / "r") == 0 and process.poll() is None:
        time.sleep(0.005)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    status, _, err = finish(process, tmp_path)
    assert time.monotonic() - began < 4.0
    assert status == 130
    assert "of 96 runs are kept in" in err
    assert f"continue with: mlpspec {shlex.join(long)}" in err
    assert "Traceback" not in err
    assert 0 < stored(tmp_path / "r") < 96
    finish(start_mlpspec(*long, cwd=tmp_path), tmp_path)
    assert runs_csv(tmp_path / "r") == runs_csv(undisturbed)


def test_lbfgs_takes_no_learning_rate(tmp_path, monkeypatch):
    settings = {"n_samples": 3, "steps": 2, "optimizer": "lbfgs", "learning_rate": 0.1}
    study, out = Study("searches", {"seed": (0,)}, settings), tmp_path / "r"
    with pytest.raises(InputError, match=r"learning_rate is 0\.1, but lbfgs searches the length"):
        mlpspec.run_study(study, out, n_jobs=1)
    assert not out.exists()
    with monkeypatch.context() as older:
        older.setattr(runner, "_check_rates", lambda runs: None)
        mlpspec.run_study(study, out, n_jobs=1)
    assert mlpspec.run_study(study, out, n_jobs=1).table["learning_rate"].tolist() == [0.1]


def test_a_session_begins_with_its_first_records(tmp_path, monkeypatch):
    def interrupted(payload, n_jobs, batches):
        yield []
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runner.workers, "train_batches", interrupted)
        with pytest.raises(KeyboardInterrupt):
            mlpspec.run_study(SMALL, tmp_path, n_jobs=1)
    assert not (tmp_path / FILE_NAME).exists()
    real = Store.begin_session

    def begin_session(*arguments):
        signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "begin_session", begin_session)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                mlpspec.run_study(SMALL, tmp_path, n_jobs=1)
        finally:
            signal.signal(signal.SIGINT, before)
    (session,) = mlpspec.load(tmp_path).sessions
    assert session["runs"] > 0
    assert session["ended"] is not None


def test_a_link_to_nowhere_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(runner.workers, "train_batches", None)
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "absent")
    with pytest.raises(InputError, match="is not a file; remove it or mend it"):
        mlpspec.run_study(SMALL, tmp_path, n_jobs=1)


def test_what_another_command_has_stored_meanwhile_is_not_trained_again(tmp_path):
    (task,) = runner.tasks_of({tmp_path: SMALL}, "numpy")
    mlpspec.run_study(SMALL.replace(seed=(0,)), tmp_path, n_jobs=1, engine="numpy")
    results = runner.run_task(task, 1)
    n_runs = len(SMALL.runs)
    assert [session["runs"] for session in results.sessions] == [n_runs // 2, n_runs - n_runs // 2]
    assert len(runner.run_task(task, 1).sessions) == 2  # nothing was left


def processes_of(session):
    """The processes of a session, by id: their command lines and processor ticks."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                ticks = int(fields[11]) + int(fields[12])
                found[int(place.name)] = (place / "cmdline").read_text(), ticks
    return found


def test_workers_end_within_two_seconds_of_a_killed_command(tmp_path):
    long = ["run", "--only", "--sizes", "50", "--set", "steps=100000", "--jobs", "2", "--out", "r"]
    process = start_mlpspec(*long, cwd=tmp_path)

    def at_work():
        found = processes_of(process.pid).items()
        return {pid for pid, (line, ticks) in found if "Loky" in line and ticks > 200}

    deadline = time.monotonic() + 60
    while len(at_work()) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = at_work()
    assert len(workers) == 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 2
    while workers & processes_of(process.pid).keys() and time.monotonic() < deadline:
        time.sleep(0.05)
    left = workers & processes_of(process.pid).keys()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_compilation_at_once(tmp_path, monkeypatch, number):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    process = start_mlpspec("run", "--out", "r", cwd=tmp_path)

    def compiling():
        found = processes_of(process.pid).items()
        return {pid for pid, (line, ticks) in found if "compile_kernel" in line and ticks > 50}

    deadline = time.monotonic() + 60
    while not compiling() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert compiling()
    process.send_signal(number)
    began = time.monotonic()
    status, _, err = finish(process, tmp_path)
    assert time.monotonic() - began < 2
    assert status == 130
    assert err.startswith("mlpspec: interrupted; 0 of 480 runs are kept")
    assert not compiling()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_studies_side_by_side_in_workers_of_the_caller(reference, tmp_path, n_jobs):
    """The workers of joblib own the studies that they run; nothing may end them."""
    import joblib

    places = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    calls = [joblib.delayed(mlpspec.run_study)(SMALL, place, n_jobs) for place in places]
    for results in joblib.Parallel(n_jobs=2)(calls):
        assert runs_csv(results.directory) == reference


def test_files_travel_to_the_workers(tmp_path, monkeypatch):
    """The same bits from any number of workers, wherever these stand; no file for what follows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    rows = "".join(f"{i * 7 % 23},{i * 5 % 29},{i},{i % 9}\n" for i in range(40))
    (tmp_path / "own" / "t.csv").write_text(f"a,b,c,y\n{rows}")
    monkeypatch.chdir(tmp_path / "own")
    study = Study(
        "own",
        {"losses": ("baseline", "coverage"), "n_samples": (6, 9), "seed": (0, 1)},
        {
            "dataset": "file:t.csv",
            "columns": ("a", "b", "c"),
            "target": "column:y",
            "steps": 20,
            "n_hidden": 5,
        },
    )
    for name, n_jobs, batch_size in (("one", 1, None), ("two", 2, 1)):
        results = mlpspec.run_study(study, tmp_path / name, n_jobs, batch_size=batch_size)
    assert runs_csv(tmp_path / "one") == runs_csv(tmp_path / "two")
    assert set(results.table["dataset"]) == {f"file:@{study.settings['dataset'][-16:]}"}
    assert set(results.table["n_inputs"]) == {3}

    os.rename("t.csv", "moved.csv")
    assert mlpspec.run_study(study, tmp_path / "one").runs.keys() == results.runs.keys()
    assert {"outcomes", "hull"} <= set(figures.tables(Analysis(tmp_path / "one")))
    more = study.replace(seed=(0, 2))
    read_columns.cache_clear()
    with pytest.raises(InputError, match=r"there is no file t\.csv"):
        mlpspec.run_study(more, tmp_path / "one")
    more = more.replace(dataset="file:moved.csv")
    assert len(mlpspec.run_study(more, tmp_path / "one", n_jobs=1).runs) == 12
    (tmp_path / "own" / "moved.csv").write_text(f"a,b,c,y\n1,1,1,1\n{rows}")
    with pytest.raises(InputError, match=r"was made with dataset=file:@\w{16} \(asked: file:@"):
        mlpspec.run_study(study.replace(dataset="file:moved.csv"), tmp_path / "one")
