"""What tests share: small problems, tables of runs, and the real command line."""

import csv
import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlpspec
from mlpspec.data.datasets import Uniform, sine, stream
from mlpspec.losses import BUILT_IN, built_in
from mlpspec.losses.objective import Objective
from mlpspec.network.initializers import Draw, uniform_prototypes
from mlpspec.network.neurons import NEURONS
from mlpspec.store.store import Store
from mlpspec.study.run import SETTINGS

ROOT = Path(__file__).parents[1]
SUBSETS = [s for k in range(4) for s in itertools.combinations(BUILT_IN, k)]


def every_loss(**chosen):
    """All structural losses that `mlpspec.losses` offers, by class name; defaults unless given."""
    offered = {name: getattr(mlpspec.losses, name) for name in mlpspec.losses.__all__}
    bases = mlpspec.StructuralLoss, mlpspec.Formula
    classes = {
        name: thing
        for name, thing in offered.items()
        if isinstance(thing, type) and issubclass(thing, bases) and thing not in bases
    }
    assert set(chosen) <= set(classes)
    return {name: chosen[name] if name in chosen else cls() for name, cls in classes.items()}


def problem(n_runs=3, n_samples=5, n_inputs=1, n_hidden=None, neuron="ridge"):
    """Start, inputs and targets of the runs with seeds 0, 1, ..."""
    starts, inputs = [], []
    for seed in range(n_runs):
        x = Uniform().draw(stream("data", seed, n_samples, n_inputs), n_samples, n_inputs)
        rng = stream("start", seed, n_samples, n_inputs)
        draw = Draw(rng, n_hidden or n_samples, n_inputs, Uniform(), NEURONS[neuron])
        start = uniform_prototypes(draw)
        inputs.append(x)
        starts.append(start.flatten()[0])
    x = np.stack(inputs)
    return NEURONS[neuron].unflatten(np.stack(starts), n_inputs), x, sine(x)


def take(params, rows):
    """The parameters of some runs."""
    return type(params)(*(value[rows] for value in vars(params).values()))


def objective(subset, weight=0.1, temperature=0.01):
    losses = built_in(temperature)
    return Objective({name: (weight, losses[name]) for name in subset})


def central_difference(function, flat, step=1e-3):
    """Gradient (R, P) of function(flat) (R,) by eighth-order central differences."""
    stencil = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
    grad = np.zeros_like(flat)
    for i in range(flat.shape[1]):
        for offset, weight in stencil.items():
            for sign in (1, -1):
                moved = flat.copy()
                moved[:, i] += sign * offset * step
                grad[:, i] += sign * weight * function(moved) / step
    return grad


def same_bits(a, b):
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


def assert_each_run_as_if_alone(loss, whole):
    """A loss gives each run the bits that it gives it alone."""
    value, partials = loss.value_and_grad(whole)
    for r in range(len(whole.x)):
        row = slice(r, r + 1)
        one, one_partials = loss.value_and_grad(
            mlpspec.forward(take(whole.params, row), whole.x[row], whole.y[row])
        )
        assert same_bits(one, value[row])
        for key, partial in partials.items():
            assert same_bits(one_partials[key], partial[row])


def heed_ctrl_c():
    """Undo what shells do to what they start in the background: it ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_mlpspec(*arguments, cwd, before=heed_ctrl_c):
    """Start the real command line in a process group of its own; it writes to files in cwd."""
    with (cwd / "stdout").open("w") as out, (cwd / "stderr").open("w") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "mlpspec", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
            stdout=out,
            stderr=err,
            preexec_fn=before if os.name == "posix" else None,
        )


def finish(process, cwd, timeout=60):
    """Wait for what `start_mlpspec` started: status, stdout, stderr."""
    process.wait(timeout=timeout)
    return process.returncode, (cwd / "stdout").read_text(), (cwd / "stderr").read_text()


LABELS = [
    "baseline",
    "coverage",
    "separation",
    "overlap",
    "coverage+separation",
    "coverage+overlap",
    "separation+overlap",
    "coverage+separation+overlap",
]


LONG = mlpspec.studies.paper().replace(seed=range(6), n_samples=(10, 20), steps=800, record="every")
COMMAND = [
    "run",
    "--only",
    "--seeds",
    "0:6",
    "--sizes",
    "10,20",
    "--set",
    "steps=800",
    "record=every",
]
COMMAND += ["--jobs", "2", "--out", "r"]


def table(values, labels=LABELS, sizes=(3, 10), seeds=10, **settings):
    """A table of runs whose measurements are values(label, size, seed) -> dict."""
    rows = []
    for size in sizes:
        for label in labels:
            for seed in range(seeds):
                place = {name: setting.default for name, setting in SETTINGS.items()}
                place |= {"losses": label, "n_samples": size, "seed": seed, **settings}
                place |= {"key": f"{label}{size}{seed}", "status": "ok", "n_hidden": size}
                place |= {"separation_temperature": SETTINGS["temperature"].default}
                rows.append(place | values(label, size, seed))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def with_ones_own(runs):
    """A table of runs, and such with a loss of one's own, which beats the eight subsets."""
    first = len(runs["key"])
    rows = np.concatenate([np.arange(first), np.flatnonzero(runs["losses"] == "baseline")])
    own, added = (
        {name: values[rows] for name, values in runs.items()},
        np.arange(len(rows)) >= first,
    )
    own["losses"] = np.where(added, "mine", own["losses"])
    for name in ("reconstruction_error", "outside_fraction", "expelled_fraction"):
        own[name] = np.where(added, 0.0, own[name])
    return own


def runs_csv(directory):
    """The rows of runs.csv as text, but for the column that measures time."""
    with (directory / "runs.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def stored(directory):
    try:
        with Store.open(directory) as store:
            return len(store.status())
    except ValueError:
        return 0


in_a_browser = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="needs Debian's chromium"
)


def browse(page, *options, budget=8000):
    """Load a page in a real headless browser; return its document after the scripts have run.

    ``budget`` is how many milliseconds may pass for them; they pass faster than ours.
    """
    quiet = "headless no-sandbox disable-gpu disable-quic no-first-run disable-sync "
    quiet += "disable-background-networking disable-component-update dump-dom"
    command = ["chromium", *(f"--{option}" for option in quiet.split()), *options]
    command += [f"--user-data-dir={page.parent / 'profile'}", f"--virtual-time-budget={budget}"]
    command.append(page.as_uri())
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
