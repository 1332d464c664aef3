"""Where numba is not installed, everything works, in plain NumPy."""

import json
import os
import subprocess
import sys

import pytest
from helpers import ROOT, runs_csv

from mlpspec.cli import command as cli

HIDDEN = """
import importlib.metadata, sys
sys.modules["numba"] = sys.modules["llvmlite"] = None
known = importlib.metadata.version

def version(name):
    if name in ("numba", "llvmlite"):
        raise importlib.metadata.PackageNotFoundError(name)
    return known(name)

importlib.metadata.version = version
"""


@pytest.fixture
def hidden(tmp_path):
    """Run Python with numba hidden from it and from what it starts: status, stdout, stderr."""
    place = tmp_path / "hidden"
    place.mkdir()
    (place / "sitecustomize.py").write_text(HIDDEN)
    path = os.pathsep.join([str(place), str(ROOT)])

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    return run


STUDY = [
    "run",
    "--only",
    "--quiet",
    "--sizes",
    "3,40",
    "--seeds",
    "0:1",
    "--set",
    "steps=20",
    "--jobs",
    "2",
    "--out",
]


def test_a_study_trains_and_says_with_what(hidden, tmp_path, monkeypatch):
    status, _, err = hidden("-m", "mlpspec", *STUDY, "plain")
    assert (status, err) == (0, "")
    session = json.loads((tmp_path / "plain" / "provenance.json").read_text())["sessions"][-1]
    assert (session["engine"], session["numba"], session["llvmlite"]) == ("numpy", None, None)
    # The same engine has the same bits where numba is there but not asked for.
    monkeypatch.chdir(tmp_path)
    assert cli.main([*STUDY, "asked", "--engine", "numpy", "--jobs", "1"]) == 0
    assert runs_csv(tmp_path / "plain") == runs_csv(tmp_path / "asked")


def test_the_compiled_engine_is_refused_in_one_line(hidden):
    status, out, err = hidden("-m", "mlpspec", *STUDY, "asked", "--engine", "compiled")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "numba is not installed" in err
    assert "mlpspec[fast]" in err


def test_losses_are_checked(hidden):
    status, out, err = hidden("-m", "mlpspec", "check-loss", "mlpspec.losses:Coverage()")
    assert (status, err) == (0, "")
    assert "passes" in out
