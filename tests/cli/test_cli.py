import csv
import fcntl
import json
import os
import pty
import re
import select
import struct
import termios
import time

import pytest
from helpers import ROOT

from mlpspec.cli import command as cli

QUICK = ["--only", "--set", "steps=20", "--sizes", "3,5", "--seeds", "0:2", "--jobs", "1"]


def call(capsys, *arguments):
    status = cli.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_run_status_and_export(mlpspec, tmp_path, monkeypatch, capsys):
    status, out, err = mlpspec("run", *QUICK)
    assert status == 0
    assert out.startswith("paper: trained 32 runs in")
    assert "of 32 in runs/paper 32 ok, 0 diverged, 0 failed" in out
    assert "paper: 32/32 runs, 0 failed" in err
    with (tmp_path / "runs/paper/runs.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 32

    # What comes after is in this process: to start another one takes longer than what it does.
    monkeypatch.chdir(tmp_path)
    status, out, _ = call(capsys, "run", *QUICK)
    assert (status, out) == (
        0,
        "paper: nothing to train; of 32 in runs/paper 32 ok, 0 diverged, 0 failed\n",
    )

    status, out, _ = call(capsys, "run", *QUICK, "--seeds", "0:5", "--dry-run")
    assert status == 0
    assert "80 runs, 32 of them already in runs/paper" in out
    assert "to train: 48 runs in" in out

    status, out, _ = call(capsys, "status", "runs/paper")
    assert status == 0
    assert "32 in runs/paper: 32 ok, 0 diverged, 0 failed" in out
    assert "settings  separation_temperature=" in out
    assert ", steps=20" in out

    status, out, _ = call(capsys, "export", "runs/paper", "--format", "npz")
    assert (status, out) == (0, "runs/paper/weights.npz\n")


def test_data_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i},{i * i % 7},{i % 5}\n" for i in range(12))
    (tmp_path / "wheat.csv").write_text(f'area,"width, mm",length\n{rows}')
    own = ["dataset=file:wheat.csv", 'columns=area,"width, mm"', "target=column:length"]
    quick = ["run", *QUICK, "--quiet"]
    assert call(capsys, *quick, "--set", *own) == (0, "", "")
    (tmp_path / "wheat.csv").unlink()
    status, out, _ = call(capsys, "status", "runs/paper")
    assert status == 0
    assert "32 in runs/paper: 32 ok" in out
    assert "target=column:length" in out
    clustered = "dataset=clustered(radius=0.02, clusters=3)"
    assert call(capsys, *quick, "--out", "there", "--set", clustered, "shift=2") == (0, "", "")
    with (tmp_path / "there" / "runs.csv").open(newline="") as file:
        assert {row["dataset"] for row in csv.DictReader(file)} == {
            "clustered(clusters=3,radius=0.02)"
        }


@pytest.mark.parametrize("only", [["--only"], pytest.param([], marks=pytest.mark.slow)])
def test_study_file(only, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from mlpspec import Study\n"
        "STUDY = Study('mine', {'seed': (1, 2)}, {'steps': 5, 'n_samples': 3})\n"
    )
    status, out, _ = call(capsys, "run", "mine.py", "--jobs", "1", *only)
    assert status == 0
    assert "of 2 in runs/mine 2 ok" in out
    assert (tmp_path / "runs" / "mine" / "report.html").exists() != bool(only)


def test_dry_run_leaves_no_trace(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, out, _ = call(capsys, "run", "--dry-run", *QUICK)
    assert status == 0
    assert "to train: 32 runs in" in out
    assert not [*tmp_path.iterdir()]


def test_failed_runs_end_with_status_1(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # Separation has no force at all at this temperature, so none can be matched.
    force = ["--set", "weight_unit=force", "temperature=1e-9", "steps=5"]
    status, out, err = call(
        capsys, "run", "--only", *force, "--sizes", "3", "--seeds", "0:1", "--jobs", "1"
    )
    assert status == 1
    assert "4 ok, 0 diverged, 4 failed" in out
    assert "4 runs failed, the first (" in err
    assert "separation is inert at the start" in err
    assert "Traceback" not in err
    status, out, _ = call(capsys, "status", "runs/paper")
    assert out.count("failed    ") == 4


def test_a_setting_is_given_once(capsys):
    assert cli.main(["run", "--dry-run", "--set", "steps=3", "steps=4"]) == 2
    assert "--set gives steps twice" in capsys.readouterr().err


def test_help_fits_a_screen(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in (["--help"], ["run", "--help"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) <= 30
        assert max(map(len, lines)) <= 80


def test_without_arguments_three_examples_are_shown(capsys):
    status, out, err = call(capsys)
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    examples = [line for line in out.splitlines() if line.startswith("  mlpspec ")]
    assert len(examples) == 3
    for example in examples:
        cli.parser().parse_args(example.split("   ")[0].split()[1:])


def test_studies_lists_studies_and_settings(capsys):
    status, out, _ = call(capsys, "studies")
    assert status == 0
    for word in ("paper", "tau-sweep", "confirm", "480", "temperature_unit", "record_every"):
        assert word in out
    for line in (
        "  clustered(clusters=5,radius=0.05) Inputs uniform in cubes",
        "  adam(beta1=0.9,beta2=0.999,epsilon=1e-08) Adam",
        "  file:PATH.csv ",
        "  identity ",
        "  column:NAME ",
    ):
        assert line in re.sub(" +", " ", out).replace("\n ", "\n  ")


def test_start_up_imports_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys; from mlpspec.cli.command import parser; parser()\n"
        "print([m for m in ('numpy', 'scipy', 'joblib', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def test_the_study_runs_without_scipy(tmp_path):
    """Every worker would spend longer on loading it than on anything else but training.

    (Numba loads it, whatever we do.)
    """
    import subprocess
    import sys

    code = (
        "import sys; from mlpspec.cli.command import main\n"
        "main('run --only --quiet --jobs 1 --sizes 3 --seeds 0:1 --set steps=1'.split())\n"
        "print([m for m in ('scipy', 'matplotlib') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLPSPEC_COMPILED": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    assert (tmp_path / "runs" / "paper" / "runs.csv").exists()
    assert done.stdout.strip() == "[]"


BAD = [
    (["run", "papr"], "unknown study 'papr'; did you mean 'paper'?"),
    (["run", "--set", "stepz=5"], "unknown setting 'stepz'; did you mean 'steps'?"),
    (["run", "--set", "seed=5"], "seed is no setting of all runs; use --seeds"),
    (["run", "--set", "steps"], "--set has 'steps'; settings look like NAME=VALUE"),
    (["run", "--set", "steps=-1"], "steps is -1; it must be at least 0"),
    (["run", "--set", "temperature=0"], "temperature is 0; it must be above 0"),
    (["run", "--set", "weight=-0.1"], "weight is -0.1; it must be at least 0"),
    (["run", "--set", "weight=nan"], "weight is 'nan'; it must be a finite number"),
    (["run", "--set", "optimizer=adm"], "unknown optimizer 'adm'; did you mean 'adam'?"),
    (["run", "--sizes", "1,5"], "n_samples is 1; it must be at least 2"),
    (["run", "--sizes", "3;5"], "--sizes is '3;5'; it must look like 3,5,10"),
    (["run", "--sizes", "3,3"], "repeats a value"),
    (["run", "--seeds", "10:0"], "--seeds is '10:0', which is empty"),
    (["run", "--seeds", "a:b"], "--seeds is 'a:b'; it must look like 0:10 or 0,3,7"),
    (["run", "--seeds=-3:2"], "seed is -3; it must be at least 0"),
    (["run", "--jobs", "0"], "jobs is 0; it must be at least 1"),
    (["run", "--jobs", "two"], "'two' is not a whole number"),
    (["run", "--out", "a_file"], "a_file is a file; give a directory with --out"),
    (["run", "--out", "a_file/below"], "cannot write to a_file/below"),
    (["run", "--out", "/proc/nowhere"], "cannot write to /proc/nowhere"),
    (["run", "absent.py"], "there is no file absent.py"),
    (["run", "empty.py"], "empty.py defines no STUDY"),
    (["run", "raises.py"], "raises.py fails with RuntimeError: boom"),
    (["run", "quits.py"], "quits.py fails with SystemExit: 0"),
    (["run", "syntax.py"], "syntax.py fails with SyntaxError"),
    (["run", "odd.py"], "the axis seed of s is 5; it must be a tuple of values"),
    (["run", "--set", "start=later"], "unknown start 'later'; known: placebo, start"),
    (["run", "--set", "dataset=grid(jiter=1)"], "unknown argument of grid 'jiter'; did you mean"),
    (["run", "--set", "dataset=file:absent.csv", "columns=a"], "there is no file absent.csv"),
    (["run", "--set", "dataset=file:t.csv"], "columns is empty; name the inputs"),
    (["run", "--set", "dataset=file:t.csv", "columns=a"], "t.csv has 3 rows, n_samples is 5"),
    (
        ["run", "--sizes", "3", "--set", "dataset=file:t.csv", "columns=b"],
        "t.csv, line 3, column 'b' is 'x'; it must be a finite number: mend or drop the row",
    ),
    (["run", "--dry-run", "--set", "dataset=file:t.csv", "columns=a"], "n_samples is 5"),
    (["run", "--set", "target=column:a"], "target is column:a, but dataset is uniform"),
    (["verify", "sweep"], "holds no grid of the eight subsets"),
    (
        ["verify", "shifts"],
        "is of the study shifts, not of paper, former, confirm or",
    ),
    (["report", "absent"], "'absent' is not a results directory"),
    (["run", "loss.py"], "unknown loss 'covrage'; did you mean 'coverage'?"),
    (["run", "tau-sweep", "--out", "done"], "done holds the study 'paper', not 'tau-sweep'"),
    (["run", "--out", "done", "--set", "steps=9"], "done was made with steps=2 (asked: 9)"),
    (["run", "--out", "not_sqlite"], "damaged or not a database"),
    (["run", "--out", "truncated"], "damaged"),
    (["run", "--out", "future"], "has schema version 99"),
    (["status", "absent"], "'absent' is not a results directory"),
    (["status", "truncated"], "damaged"),
    (["export", "done", "--format", "xls"], "invalid choice: 'xls'"),
    (["export", "."], "--format"),
    (["rnu"], "invalid choice: 'rnu'"),
    (["--frobnicate"], "required: COMMAND"),
    (["merge", "done", "--out", "x"], "a merge needs two results directories or more"),
    (["merge", "done", "./done", "--out", "x"], "done is given twice; name each directory once"),
    (
        ["merge", "done", "sweep", "--out", "x"],
        "sweep cannot be merged with done: it holds the study 'tau-sweep', not 'paper'",
    ),
    (["merge", "done", "a_file", "--out", "x"], "'a_file' is not a results directory"),
    (["merge", "done", "truncated", "--out", "x"], "damaged"),
    (["merge", "done", "sweep", "--out", "done/x"], "done/x lies inside done, which is only read"),
    (["merge", "done", "sweep", "--out", "a_file"], "a_file is there already"),
    (["merge", "done", "sweep"], "required: --out"),
    (["merge", "done", "sweep", "--out", "x", "--prefer", "last"], "invalid choice: 'last'"),
    (["diff", "done"], "required: B"),
    (["diff", "done", "absent"], "'absent' is no results directory: no study.sqlite or runs.csv"),
    (["diff", "done", "a_file"], "'a_file' is no results directory"),
    (["diff", "truncated", "done"], "damaged"),
    (["diff", "done", "done", "--tolerance", "-1"], "'-1' is not a number of at least 0"),
    (["diff", "done", "done", "--tolerance", "nan"], "'nan' is not a number of at least 0"),
    (["diff", "done", "done", "--tolerance", "much"], "'much' is not a number of at least 0"),
    (["status", "a_file", "--watch"], "'a_file' is not a results directory"),
    (["run", "--frobnicate"], "unrecognized arguments: --frobnicate"),
]


@pytest.fixture(scope="module")
def full_of_traps(tmp_path_factory):
    import sqlite3

    import mlpspec

    place = tmp_path_factory.mktemp("traps")
    (place / "a_file").write_text("kept")
    (place / "t.csv").write_text("a,b\n1,2\n2,x\n4,5\n")
    (place / "empty.py").write_text("")
    (place / "raises.py").write_text("raise RuntimeError('boom')")
    (place / "quits.py").write_text("import sys; sys.exit(0)")
    (place / "syntax.py").write_text("STUDY = (")
    (place / "odd.py").write_text("from mlpspec import Study\nStudy('s', {'seed': 5})")
    mlpspec.run_study(
        mlpspec.studies.tau_sweep().replace(seed=(0,), n_samples=(5,), steps=2),
        place / "sweep",
        n_jobs=1,
    )
    (place / "loss.py").write_text(
        "from mlpspec import Study\nSTUDY = Study('s', {'losses': (('covrage',),)})\n"
    )
    study = mlpspec.studies.paper().replace(seed=(0,), n_samples=(3,), steps=2)
    eight = mlpspec.Study("shifts", {**study.axes, "shift": (0.0, 1.0)}, study.settings)
    mlpspec.run_study(eight, place / "shifts", n_jobs=1)
    for name in ("done", "truncated", "future"):
        mlpspec.run_study(study, place / name, n_jobs=1)
    store = place / "truncated" / "study.sqlite"
    store.write_bytes(store.read_bytes()[:9000])
    database = sqlite3.connect(place / "future" / "study.sqlite")
    database.execute("PRAGMA user_version = 99")
    database.close()
    (place / "not_sqlite").mkdir()
    (place / "not_sqlite" / "study.sqlite").write_text("hello" * 1000)
    return place


def snapshot(place):
    return {
        path.relative_to(place): path.read_bytes() if path.is_file() else None
        for path in place.rglob("*")
    }


@pytest.mark.parametrize(
    ("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD]
)
def test_bad_input_gets_one_line_and_changes_nothing(
    full_of_traps, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(full_of_traps)
    before = snapshot(full_of_traps)
    status, out, err = call(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert err.startswith("mlpspec: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert snapshot(full_of_traps) == before


def test_progress_bar_on_a_terminal(tmp_path):
    """A real terminal shows runs done, runs failed and the time left."""
    leader, follower = pty.openpty()
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    pid = os.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.dup2(follower, 2)
        with open(os.devnull, "w") as null:
            os.dup2(null.fileno(), 1)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        import sys

        os.execve(sys.executable, [sys.executable, "-m", "mlpspec", "run", *QUICK], environment)
    os.close(follower)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([leader], [], [], 1.0)[0]:
            try:
                shown += os.read(leader, 4096)
            except OSError:
                break
    assert os.waitpid(pid, 0)[1] == 0
    os.close(leader)
    text = shown.decode()
    assert "paper: 0/32 runs, 0 failed |" in text
    assert "paper: 32/32 runs, 0 failed |" in text
    assert "100%" in text
    assert "<" in text


def test_single_precision_is_numpys_and_that_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    study = [
        "run",
        "--only",
        "--sizes",
        "3",
        "--seeds",
        "0:1",
        "--set",
        "steps=2",
        "dtype=float32",
        "--jobs",
        "1",
        "--out",
        "r",
    ]
    status, _, err = call(capsys, *study, "--engine", "compiled")
    assert status == 0, err
    assert "r is in single precision, which NumPy trains" in err
    session = json.loads((tmp_path / "r" / "provenance.json").read_text())["sessions"][-1]
    assert (session["engine"], session["numba"]) == ("numpy", None)


def test_a_setting_that_a_variant_is_about_is_refused(tmp_path, capsys):
    for study, variant, setting in (
        ("controls", "momentum", "optimizer=rmsprop"),
        ("robustness", "optimiser-momentum-0-03", "learning_rate=1"),
    ):
        line = ["run", study, "--variants", f"default,{variant}", "--only", "--set", setting]
        status, _, err = call(capsys, *line, "--out", str(tmp_path / "r"))
        assert status == 2
        assert f"is what the variant {variant} is about" in err
        assert not (tmp_path / "r").exists()
