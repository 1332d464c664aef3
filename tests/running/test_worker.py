"""Runs that are trained together are trained as each alone."""

import dataclasses

import numpy as np
import pytest
from helpers import same_bits

from mlpspec.network.initializers import INITIALIZERS
from mlpspec.running import worker
from mlpspec.running.planning import plan
from mlpspec.running.worker import train_batch
from mlpspec.study.run import SETTINGS, Run
from mlpspec.training.engine import choose

COMMON = {"n_samples": 5, "steps": 12, "losses": "coverage+separation+overlap", "temperature": 0.1}
OTHER = {
    "losses": ("baseline", "coverage", "separation+overlap"),
    "n_samples": (6,),
    "seed": (1, 2),
    "steps": (7,),
    "learning_rate": (0.05,),
    "weight": (0.3,),
    "fit_weight": (0.0, 2.0),
    "weight_unit": ("force",),
    "temperature": (0.5,),
    "temperature_unit": ("spacing",),
    "separation_temperature": (0.02,),
    "coverage_minimum": ("hard",),
    "separation_reduction": ("neuron", "sum"),
    "overlap_reduction": ("neuron", "sum"),
    "n_hidden": (3, 8),
    "n_inputs": (2,),
    "neuron": ("radial", "ridge(epsilon=0.01)"),
    "initializer": ("standard_normal", "framework", "spaced", "steep", "kmeans", "inputs(4)"),
    "optimizer": ("gradient_descent", "adam(beta2=0.9)", "adamw", "adagrad", "lbfgs"),
    "schedule": ("cosine",),
    "warmup": (0.4,),
    "early_stopping": ("plateau(every=1,patience=1,tolerance=0.9)", "held_out(every=2)"),
    "losses_from": (0.3,),
    "losses_until": (0.6,),
    "l1": (0.01,),
    "l2": (0.01,),
    "dropout": (0.3,),
    "deactivation": (0.2,),
    "jitter": (0.1,),
    "target_noise": (0.1,),
    "adversarial": (0.05,),
    "compress": ("prune_unused", "prune_fit(keep=0.4,refit=1)", "quantise(4)", "distil", "narrow"),
    "target": ("identity", "random"),
    "start": ("placebo",),
    "dataset": ("grid(jitter=0.5)", "grid(low=0)", "uniform(0, 1)"),
    "shift": (1.5,),
    "dtype": ("float32",),
    "record_every": (1, 5),
    "record": ("log",),
}
"""Another value, or two, of every setting but those of files."""


def mixed_runs(path):
    """Runs of which, for every setting, two differ in that one alone, in many surroundings.

    Of neuron, precision and dimension any two values meet in one of them.
    """
    surroundings = [
        {"neuron": neuron, "dtype": dtype, "n_inputs": n_inputs}
        for neuron, dtype, n_inputs in (
            ("ridge", "float64", 1),
            ("ridge", "float32", 2),
            ("radial", "float64", 2),
            ("radial", "float32", 1),
        )
    ]
    surroundings += [{"n_hidden": 8, "optimizer": "gradient_descent", "record_every": 5}]
    table = {"dataset": f"file:{path}", "columns": "a,b", "n_samples": 4}
    changes = [{}, *({name: value} for name, values in OTHER.items() for value in values)]
    settings = [COMMON | around | change for around in surroundings for change in changes]
    of_file = ({}, {"columns": "b,a"}, {"scaling": "common"}, {"target": "column:c"}, {"seed": 1})
    settings += [COMMON | table | change for change in of_file]
    settings += [COMMON | {"initializer": name, "n_hidden": 3} for name in INITIALIZERS]
    settings.append(COMMON | table | {"initializer": "kmeans", "n_hidden": 3})
    semicolons = {"dataset": f"file:{path.with_name('t2.csv')}", "separator": "semicolon"}
    settings.append(COMMON | table | semicolons | {"decimal": "comma"})
    assert {*OTHER, "columns", "scaling", "separator", "decimal"} == {*SETTINGS}
    return list(dict.fromkeys(Run(**values) for values in settings))


def assert_same(together, alone):
    run = alone.run
    assert together.run == run
    assert together.status == alone.status == "ok", together.error
    for name in ("x", "y", "params"):
        a, b = getattr(together, name), getattr(alone, name)
        assert a.dtype == b.dtype == run.dtype, (name, run)
        assert same_bits(a, b), (name, run)
    measured = [{**record.measurements, "seconds": 0.0} for record in (together, alone)]
    np.testing.assert_equal(*measured, err_msg=str(run))
    recorded = run.record_every > 0 or run.record == "log"
    assert (together.curve is not None) == (alone.curve is not None) == recorded, run
    if alone.curve is not None:
        assert together.curve.keys() == alone.curve.keys()
        for name, values in alone.curve.items():
            assert same_bits(together.curve[name], values), (name, run)


def test_a_mixed_list_trains_as_each_run_alone(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("a,b,c\n" + "".join(f"{i},{i * i % 7},{i % 4}\n" for i in range(9)))
    german = path.read_text().replace(",", ",5;").replace("a,5;b,5;c", "a;b;c")
    path.with_name("t2.csv").write_text(german)
    runs = mixed_runs(path)
    calls = []

    def counted(batch, *rest):
        calls.append(len(batch))
        return trained_together(batch, *rest)

    trained_together = worker._train_together
    monkeypatch.setattr(worker, "_train_together", counted)
    batches, engine = plan(runs), choose()
    together = {
        record.run: record for batch in batches for record in train_batch(batch, engine=engine)
    }
    # None of the batches raised, after which its runs would have been trained alone.
    assert calls == [len(batch) for batch in batches]
    assert len(batches) < len(runs) / 2
    for run in runs:
        (alone,) = train_batch((run,), engine=engine)
        assert_same(together[run], alone)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"record": "log"}, "steps=3000, record=log"),
        ({"steps": 10**4}, "steps=10000, record_every"),
    ],
)
def test_what_is_recorded_and_rates_are_counted_before_they_are_kept(monkeypatch, changes, told):
    """On a machine of 300 kB, where the same run fits without them."""
    small = {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": 300}
    monkeypatch.setattr(worker.os, "sysconf", small.get)
    run = Run(n_samples=2, n_hidden=100, losses="overlap")
    (plain,), (more,) = train_batch((run,)), train_batch((dataclasses.replace(run, **changes),))
    assert (plain.status, more.status) == ("ok", "failed")
    assert told in more.error
    assert "MemoryError: a run with n_samples=2, n_hidden=100" in more.error


def test_runs_that_do_not_fit_together_are_trained_alone(monkeypatch):
    small = {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": 300}
    monkeypatch.setattr(worker.os, "sysconf", small.get)
    runs = tuple(Run(n_samples=10, n_hidden=30, seed=n, steps=60, record_every=1) for n in range(4))
    with pytest.raises(MemoryError, match="a batch of 4 runs with n_samples=10"):
        worker._train_together(runs, None, None, "numpy")
    assert [record.status for record in train_batch(runs)] == 4 * ["ok"]
