import itertools
from collections import Counter

import pytest

from mlpspec import studies
from mlpspec.running.compressing import uncompressed
from mlpspec.running.planning import BATCH_ELEMENTS, plan, work
from mlpspec.study.run import Run


@pytest.mark.parametrize("n_jobs", [1, 2, 16])
@pytest.mark.parametrize("batch_size", [None, 1, 7])
@pytest.mark.parametrize("name", ["paper", "tau-sweep"])
def test_every_run_is_in_one_batch_of_its_shape(name, n_jobs, batch_size):
    runs = studies.STUDIES[name]().runs
    batches = plan(runs, n_jobs, batch_size)
    assert Counter(run for batch in batches for run in batch) == Counter(runs)
    for batch in batches:
        assert (
            len({(run.n_samples, run.hidden_units, run.n_inputs, run.steps) for run in batch}) == 1
        )
        assert len(batch) <= (batch_size or len(runs))
        size = sum(run.n_samples * run.hidden_units for run in batch)
        assert batch_size or size <= BATCH_ELEMENTS or len(batch) == 1


def test_the_most_work_comes_first_and_none_is_too_large():
    runs = studies.paper().runs
    for n_jobs in (1, 2, 8):
        loads = [sum(map(work, batch)) for batch in plan(runs, n_jobs)]
        assert loads == sorted(loads, reverse=True)
        assert loads[0] <= sum(loads) * (1.0 if n_jobs == 1 else 0.5 / n_jobs)


def test_one_worker_has_nothing_to_share():
    runs = [Run(n_samples=10, n_hidden=10, seed=seed) for seed in range(48)]
    assert [len(plan(runs, n_jobs)) for n_jobs in (1, 2, 3)] == [1, 4, 6]


def test_what_must_differ_is_apart():
    base = Run()
    others = [
        Run(steps=5),
        Run(learning_rate=0.1),
        Run(optimizer="gradient_descent"),
        Run(dtype="float32"),
        Run(n_hidden=3),
        Run(n_inputs=2),
        Run(record_every=1),
    ]
    assert len(plan([base, *others])) == 1 + len(others)
    together = [base, Run(seed=1), Run(losses="overlap"), Run(temperature=1.0), Run(weight=3.0)]
    assert len(plan(together, batch_size=9)) == 1


def test_nothing_to_plan():
    assert plan([], 2) == []


def test_runs_that_compress_one_network_share_a_batch():
    levels = [f"prune_fit(keep={keep})" for keep in (0.9, 0.7, 0.5, 0.3, 0.1)]
    others = (50, 20), range(4), ("sine", "identity"), ((), ("overlap",))
    runs = [
        Run(compress=level, n_samples=size, seed=seed, target=target, losses=losses)
        for level, size, seed, target, losses in itertools.product(levels, *others)
    ]
    for n_jobs in (1, 2, 100):
        networks = [{uncompressed(run) for run in batch} for batch in plan(runs, n_jobs)]
        assert sum(map(len, networks)) == len(set().union(*networks)) == len(runs) / len(levels)
    assert len(networks) == len(runs) / len(levels)  # as many batches as that lets there be
    assert max(map(len, plan(runs, 2, batch_size=3))) == 3  # which was asked for
