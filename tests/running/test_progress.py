"""Estimates of how long a study takes, with a clock and with training of which all is known."""

from functools import cache
from types import SimpleNamespace

import pytest

from mlpspec import studies
from mlpspec.running import planning, progress


@pytest.fixture
def machine(monkeypatch):
    """Training on a clock of its own: ``seconds(runs, steps)``, the batches that were trained."""
    machine = SimpleNamespace(now=0.0, trained=[], seconds=lambda runs, steps: 1.0)

    def train_batch(batch, *_, **__):
        machine.trained.append(batch)
        machine.now += machine.seconds(batch, batch[0].steps)
        return []

    clock = SimpleNamespace(perf_counter=lambda: machine.now, process_time=lambda: machine.now)
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(progress, "train_batch", train_batch)
    monkeypatch.setattr(progress.engines, "prepare", lambda: None)
    return machine


def test_an_estimate_tells_the_ways_of_one_batch_apart(machine):
    study = studies.monosemanticity().replace(seed=range(2), n_samples=(5,), steps=20)
    batches = planning.plan(study.runs)
    assert len(batches) == 1

    def slow_in_numpy(runs, steps):
        return (len(runs) + 1) * (2.0 if runs[0].definitions else 0.1) * steps

    machine.seconds = slow_in_numpy
    _, ways = progress.estimate(study, batches, 1, "compiled")
    assert ways == pytest.approx(
        {"the kernel": 17 * 2.0, "the kernel with losses of your own in NumPy": 5 * 40.0}
    )


@cache
def compressed():
    """Compressed runs, which are one batch."""
    study = studies.compression().replace(losses=(("coverage",),), n_samples=(5,), seed=(0,))
    batches = planning.plan(study.runs)
    assert len(batches) == 1
    return study, batches


@pytest.mark.parametrize("disturbed", range(12))
@pytest.mark.parametrize("lasting", [False, True])
def test_what_disturbs_a_probe_is_not_multiplied_by_all_steps(machine, disturbed, lasting):
    """Compressed runs are measured for long and trained for a moment: 0.07 s and 0.03 s."""

    def busy(runs, steps):
        count = len(machine.trained) - 1
        slower = 3.0 if count == disturbed or (lasting and count > disturbed) else 1.0
        return slower * (0.07 + 1e-5 * steps)

    machine.seconds = busy
    seconds, _ = progress.estimate(*compressed(), 1, "numpy")
    assert 0.09 < seconds - progress.ONCE < 0.4  # it takes 0.1, or 0.3 while it lasts
