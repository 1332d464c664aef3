"""The engine that was chosen reaches whatever trains, and the provenance."""

import pytest

import mlpspec
from mlpspec.cli import command
from mlpspec.cli import run as of_command
from mlpspec.errors import InputError
from mlpspec.running import progress, runner, worker
from mlpspec.store.database import FILE_NAME
from mlpspec.training import engine
from mlpspec.training.engine import versions

SMALL = mlpspec.studies.paper().replace(seed=(0,), n_samples=(3,), steps=2)
MORE = SMALL.replace(seed=(0, 1))


@pytest.fixture
def calls(monkeypatch):
    """Let both engines work, and note what is prepared and trained."""
    noted = []

    def train_batch(batch, extensions, tables=None, engine=None):
        noted.append(engine)
        return real(batch, extensions, tables, engine)

    real = worker.train_batch
    for module in (worker, progress):
        monkeypatch.setattr(module, "train_batch", train_batch)
    monkeypatch.setattr(engine, "prepare", lambda: noted.append("prepared"))
    monkeypatch.setattr(engine, "why_not_compiled", lambda: None)
    return noted


def test_the_engine_reaches_the_workers(calls, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "cached_files", list)
    monkeypatch.setattr(runner, "fill_cache", lambda: None)
    mlpspec.run_study(SMALL, tmp_path / "a", n_jobs=1, engine="numpy")
    assert set(calls) == {"numpy"}
    calls.clear()
    mlpspec.run_study(SMALL, tmp_path / "b", n_jobs=1, engine="compiled")
    assert calls[0] == "prepared"
    assert set(calls[1:]) == {"compiled"}
    calls.clear()
    monkeypatch.setattr(runner, "cached_files", lambda: ["there"])  # then the workers load it alone
    mlpspec.run_study(SMALL, tmp_path / "c", n_jobs=1, engine="compiled")
    assert set(calls) == {"compiled"}


def last_engine(directory):
    return mlpspec.load(directory).sessions[-1]["engine"]


def test_a_kernel_that_cannot_be_loaded_is_no_fault_of_a_run(tmp_path, monkeypatch):
    def broken():
        raise InputError("numba 0.99.0 cannot compile the kernel here")

    monkeypatch.setattr(runner, "cached_files", lambda: ["there"])
    monkeypatch.setattr(worker, "prepare", broken)
    with pytest.raises(InputError, match="cannot compile the kernel here"):
        mlpspec.run_study(SMALL, tmp_path / "new", n_jobs=1, engine="compiled")
    assert not (tmp_path / "new" / FILE_NAME).exists()  # nor a session without runs in it
    mlpspec.run_study(SMALL, tmp_path, n_jobs=1, engine="numpy")
    with pytest.raises(InputError, match="cannot compile the kernel here"):
        mlpspec.run_study(MORE, tmp_path, n_jobs=1, engine="compiled")
    assert [session["runs"] for session in mlpspec.load(tmp_path).sessions] == [8]


@pytest.mark.parametrize("name", engine.ENGINES)
def test_a_directory_goes_on_with_its_engine(calls, tmp_path, name):
    assert runner.missing_runs(SMALL, tmp_path)[1] is None
    mlpspec.run_study(SMALL, tmp_path, n_jobs=1, engine=name)
    assert last_engine(tmp_path) == name
    results = mlpspec.run_study(MORE, tmp_path, n_jobs=1)
    assert [session["engine"] for session in results.sessions] == [name, name]
    for session in results.sessions:
        assert {key: session[key] for key in ("numba", "llvmlite")} == versions(name)


def test_a_directory_without_its_engine_is_refused(calls, tmp_path, monkeypatch):
    mlpspec.run_study(SMALL, tmp_path, n_jobs=1, engine="compiled")
    monkeypatch.setattr(engine, "why_not_compiled", lambda: "numba is not installed")
    with pytest.raises(InputError, match="the last session used the compiled one, which does not"):
        mlpspec.run_study(MORE, tmp_path, n_jobs=1)
    mlpspec.run_study(SMALL, tmp_path, n_jobs=1)  # there is nothing to train
    results = mlpspec.run_study(MORE, tmp_path, n_jobs=1, engine="numpy")
    assert [session["engine"] for session in results.sessions] == ["compiled", "numpy"]


def test_numpy_for_a_compiled_directory_is_said(calls, tmp_path, monkeypatch):
    mlpspec.run_study(SMALL, tmp_path, n_jobs=1, engine="compiled")
    monkeypatch.setenv("MLPSPEC_COMPILED", "0")
    mlpspec.run_study(SMALL, tmp_path, n_jobs=1)  # there is nothing to train
    with pytest.warns(
        UserWarning, match=r"had the compiled engine; its missing runs use the numpy"
    ):
        mlpspec.run_study(MORE, tmp_path, n_jobs=1)
    mlpspec.run_study(MORE.replace(seed=(0, 1, 2)), tmp_path, n_jobs=1)
    engines = [session["engine"] for session in mlpspec.load(tmp_path).sessions]
    assert engines == ["compiled", "numpy", "numpy"]


def run(capsys, *arguments):
    quick = ["--sizes", "3", "--seeds", "0:1", "--set", "steps=2", "--jobs", "1", "--quiet"]
    assert command.main(["run", *quick, *arguments]) == 0
    return capsys.readouterr().err


def test_another_engine_is_said(calls, tmp_path, capsys):
    there = ["--only", "--out", str(tmp_path)]
    assert run(capsys, *there, "--engine", "numpy") == ""
    assert run(capsys, *there, "--seeds", "0:2") == ""
    assert run(capsys, *there, "--seeds", "0:3", "--engine", "compiled") == (
        f"mlpspec: {tmp_path} had the numpy engine; its missing runs use the compiled one, "
        "as asked\n"
    )
    engines = [session["engine"] for session in mlpspec.load(tmp_path).sessions]
    assert engines == ["numpy", "numpy", "compiled"]


def test_companions_have_the_engine_of_the_main_study(calls, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(of_command, "write_report", lambda *_, **__: None)  # it takes a while
    mlpspec.run_study(SMALL, tmp_path, n_jobs=1, engine="numpy")
    sweep = mlpspec.studies.tau_sweep().replace(seed=(0,), n_samples=(3,), steps=2)
    mlpspec.run_study(sweep.replace(temperature=(1.0,)), tmp_path / "tau-sweep", 1)
    assert last_engine(tmp_path / "tau-sweep") == "compiled"
    calls.clear()
    told = run(capsys, "--out", str(tmp_path))
    assert told == (
        f"mlpspec: {tmp_path / 'tau-sweep'} keeps the compiled engine of its last session; "
        f"{tmp_path} has the numpy one\n"
    )
    assert last_engine(tmp_path / "tau-sweep") == "compiled"
    assert last_engine(tmp_path / "placebo") == "numpy"
    assert last_engine(tmp_path / "trajectories") == "numpy"


@pytest.mark.parametrize("name", engine.ENGINES)
def test_the_estimate_is_of_the_chosen_engine(calls, tmp_path, capsys, name):
    here = ["--only", "--out", str(tmp_path / "r"), "--dry-run", "--engine", name]
    assert run(capsys, *here) == ""
    assert not (tmp_path / "r").exists()
    assert set(calls) == ({name} if name == "numpy" else {name, "prepared"})
