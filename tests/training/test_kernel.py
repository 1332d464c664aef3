"""The kernel: its exponential, bits that depend on nothing but the run, its cache, its speed."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, localcontext
from math import factorial, log

import numpy as np
import pytest
from helpers import ROOT, SUBSETS, objective, problem, same_bits

from mlpspec.training import compiled, rows
from mlpspec.training.compiled import KernelRuns, cached_files, kernel_name
from mlpspec.training.layout import EPSILON, TOTAL
from mlpspec.training.optimizers import adam

EVERYTHING = objective(SUBSETS[-1])


def test_exponential_within_one_and_a_half_units_in_the_last_place():
    rng = np.random.default_rng(0)
    a = np.concatenate(
        [
            rng.uniform(0.0, 340.0, 200_000),
            rng.uniform(0.0, 2.0, 200_000),
            10.0 ** rng.uniform(-20.0, 0.0, 10_000),
            (np.arange(490) + 0.5) * np.log(2.0),  # the ends of what the polynomial is for
        ]
    )
    a = a[a <= 340.0]
    exact = np.exp(-a.astype(np.longdouble))
    unit = np.spacing(exact.astype(float)).astype(np.longdouble)
    found = a.copy()
    rows.exponentials(found, 0, len(found))
    assert np.abs((found - exact) / unit).max() <= 1.2
    for size in (1, 7, 13):  # wherever it lies, and however many there are
        part = np.concatenate([np.zeros(3), a[5 : 5 + size]])
        rows.exponentials(part, 3, size)
        assert same_bits(part[3:], found[5 : 5 + size])


def test_special_values_of_the_exponential():
    a = np.array([0.0, -0.0, 340.0, 341.0, 1e300, np.inf, np.nan])
    rows.exponentials(a, 0, len(a))
    assert a[:2].tolist() == [1.0, 1.0]
    assert (a[2:6] == a[2]).all()
    assert a[2] == pytest.approx(np.exp(-340.0), rel=1e-15)
    assert np.isnan(a[6])


def test_the_polynomial_is_the_exponential():
    """In fifty digits: 1 + r + r^2 q(r) with the stored terms, against the series."""
    terms = [getattr(rows, f"Q{j}") for j in range(10)]
    with localcontext(prec=50):
        rest = Decimal(rows.LN2) + Decimal(rows.LN2_REST) - Decimal(2).ln()
        assert abs(rest) < Decimal(2) ** -89
        for i in range(-101, 102, 2):
            r = Decimal(i) / 101 * Decimal(2).ln() / 2
            q = sum(Decimal(term) * r**j for j, term in enumerate(terms))
            exact = sum(r**j / factorial(j) for j in range(30))
            assert abs((1 + r + r * r * q) / exact - 1) < Decimal(2) ** -52 / 10
    assert log(2.0) * rows.PER_LN2 == pytest.approx(1.0, rel=1e-15)


RATES = np.full(100, 0.01)


def run_of(n, n_inputs=1, k=None, neuron="ridge", seed=0, terms=EVERYTHING):
    params, x, y = problem(seed + 1, n, n_inputs, k, neuron)
    last = slice(seed, seed + 1)
    return KernelRuns(type(params), params.flatten()[last], x[last], y[last], [terms])


def trained(runs, *stops):
    start = -1
    for stop in stops:
        runs.advance(adam(0.01), RATES, start, stop)
        start = stop
    return np.concatenate([runs.theta[0], runs.grad[0], runs.memory[0, TOTAL:EPSILON]])


CASES = [(3, 1, None), (10, 1, 4), (21, 1, None), (45, 1, 60), (9, 2, None), (14, 3, 5)]


@pytest.mark.parametrize(("n", "n_inputs", "k"), CASES)
@pytest.mark.parametrize("neuron", ["ridge", "radial"])
def test_slices_of_training_give_the_bits_of_the_whole(n, n_inputs, k, neuron):
    whole = trained(run_of(n, n_inputs, k, neuron), 40)
    assert same_bits(trained(run_of(n, n_inputs, k, neuron), 1, 2, 9, 40), whole)


@pytest.mark.parametrize(("n", "n_inputs", "k"), CASES)
def test_bits_do_not_depend_on_where_memory_lies(n, n_inputs, k):
    """The whole memory of a run may begin anywhere, and hold anything where nothing was written."""
    expected = trained(run_of(n, n_inputs, k), 40)
    for offset in range(65):
        runs = run_of(n, n_inputs, k)
        at, (size,) = runs.at, runs.memory[0].shape
        moved = np.full(size + 65, np.nan)[offset : offset + size]
        moved[: at.f] = runs.memory[0, : at.f]
        runs.memory = moved[None]
        runs.theta = runs.memory[:, at.theta : at.theta + at.size]
        runs.grad = runs.memory[:, at.grad : at.grad + at.size]
        assert same_bits(trained(runs, 40), expected), offset


def test_bits_do_not_depend_on_threads():
    jobs = [(n, d, k, seed) for n, d, k in CASES for seed in range(5)]

    def work(job):
        n, d, k, seed = job
        return trained(run_of(n, d, k, seed=seed), 60)

    alone = [work(job) for job in jobs]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(work, jobs * 3))
    for i, found in enumerate(together):
        assert same_bits(found, alone[i % len(jobs)])


@pytest.mark.parametrize("n", [3, 45])
def test_the_order_of_the_inputs_does_not_matter(n):
    params, x, y = problem(1, n)
    order = np.random.default_rng(0).permutation(n)
    one = KernelRuns(type(params), params.flatten(), x, y, [EVERYTHING])
    other = KernelRuns(type(params), params.flatten(), x[:, order], y[:, order], [EVERYTHING])
    assert same_bits(trained(one, 30), trained(other, 30))


TINY = """
import numpy as np, mlpspec
from mlpspec import RidgeParams, Objective, train
start = RidgeParams.placed(np.array([[0.5]]), np.ones(1), np.ones(1))
x, y = np.zeros((1, 2, 1)), np.ones((1, 2))
done = train(Objective(), start, x, y, steps=1, engine="compiled")
print(float(done.params.output_bias[0]))
"""

QUICK = """
import numpy as np
from mlpspec.training.compiled import load
numbers, windows, ends = np.zeros((1, 1)), np.zeros((1, 1, 1), int), np.zeros(1, int)
counts, rule = (1, 2, 3, 4, 5), (0.01, 0.0, 0.0, 0.0, 0.0)
load()(numbers, windows, counts, 0, rule, np.zeros(1), 0, 0, ends)
print(numbers[0, 0])
"""
"""Calls what is loaded as the kernel, where `quickly_compiled` has put something else."""


def python(place, cache, script=TINY):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(place), "NUMBA_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def printed(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return float(out)


def copied(place):
    """Copy the package, without what is compiled of it."""
    shutil.copytree(ROOT / "mlpspec", place / "mlpspec", ignore=shutil.ignore_patterns("*.nb?"))
    return place


@pytest.fixture
def quickly_compiled(tmp_path):
    """Return a copy of the package with one line as its kernel: compiled, kept and loaded alike."""
    with (copied(tmp_path) / "mlpspec/training/kernel.py").open("a") as file:
        file.write("\n\ndef run_kernel(a, b, c, d, e, f, g, h, i):\n    a[0, 0] = e[0]\n")
    return tmp_path


BITS = """
import sys
import numpy as np
from mlpspec import Objective, RidgeParams, train
from mlpspec.losses import Coverage
at = np.linspace(-1.0, 1.0, 50)
start = RidgeParams.placed(at[:, None], np.full(50, 20.0), np.ones(50))
terms = {"coverage": (0.1, Coverage(0.01))}
done = train(Objective(terms), start, at[None, :, None], np.sin(at)[None], steps=300)
print(done.params.flatten().tobytes().hex(), "numba" in sys.modules)
"""


@pytest.mark.slow
def test_the_process_that_compiles_trains_the_bits_of_all_others(tmp_path):
    """What is compiled and what comes from the cache are linked in different ways."""
    cache = tmp_path / "cache"

    def trained():
        return python(ROOT, cache, BITS).communicate(timeout=300)[0]

    first = trained()
    assert first.endswith("True\n")  # it was the compiled engine
    assert trained() == first
    next(cache.rglob("*.nbi")).write_bytes(b"garbage")
    assert trained() == first
    next(cache.rglob("*.nbc")).unlink()
    assert trained() == first
    (file,) = cache.rglob("*.nbc")  # it was mended
    assert file.stat().st_size > 1000


@pytest.mark.slow
def test_an_edited_formula_in_another_file_is_compiled_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_OPT", "0")  # which is compiled in half the time
    cache = copied(tmp_path) / "cache"
    assert printed(python(tmp_path, cache)) == pytest.approx(0.01, rel=1e-6)
    file = tmp_path / "mlpspec" / "training" / "optimizers.py"
    text = file.read_text()
    assert text.count("step = -rate * (m") == 1
    file.write_text(text.replace("step = -rate * (m", "step = -2.0 * rate * (m"))
    assert printed(python(tmp_path, cache)) == pytest.approx(0.02, rel=1e-6)


@pytest.mark.slow
def test_processes_may_fill_one_cache_at_once_and_a_damaged_one_is_no_matter(quickly_compiled):
    place, cache = quickly_compiled, quickly_compiled / "cache"
    for process in [python(place, cache, QUICK) for _ in range(2)]:
        assert printed(process) == 0.01
    (file,) = cache.rglob("*.nbc")
    file.write_bytes(file.read_bytes()[:50])
    assert printed(python(place, cache, QUICK)) == 0.01
    index = next(cache.rglob("*.nbi"))
    index.write_bytes(b"nothing")
    assert printed(python(place, cache, QUICK)) == 0.01


@pytest.mark.slow
def test_without_a_place_for_a_cache_it_is_compiled(quickly_compiled):
    (quickly_compiled / "file").write_text("")
    process = python(quickly_compiled, quickly_compiled / "file" / "cache", QUICK)
    assert printed(process) == 0.01


def test_a_step_costs_few_times_its_exponentials():
    """At N = 100 it was 0.8 times NumPy's with AVX-512 when this was written."""
    runs = run_of(100)
    block = np.random.default_rng(0).uniform(-20.0, 0.0, 2 * 100**2 + 100 * 99 // 2)
    out = np.empty_like(block)
    runs.advance(adam(0.01), RATES, -1, 10)

    def least(function):
        times = []
        for _ in range(30):
            began = time.thread_time()
            function()
            times.append(time.thread_time() - began)
        return min(times)

    step = least(lambda: runs.advance(adam(0.01), RATES, 10, 20)) / 10
    assert step < 4 * least(lambda: np.exp(block, out=out))


def test_on_a_line_the_cost_grows_slower_than_the_pairs():
    """Far pairs are left out: ten times the inputs cost far less than a hundred times the time."""

    def least(n, steps):
        runs = run_of(n, terms=objective(SUBSETS[-1], temperature=(2.0 / n) ** 2))
        runs.advance(adam(0.01), RATES, -1, 5)
        times = []
        for _ in range(5):
            began = time.thread_time()
            runs.advance(adam(0.01), RATES, 5, 5 + steps)
            times.append(time.thread_time() - began)
        return min(times) / steps

    assert np.log10(least(2000, 3) / least(200, 30)) < 1.6


def test_what_lies_in_the_cache_is_seen_without_loading_it(tmp_path, monkeypatch):
    name = kernel_name()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert not cached_files()
    (tmp_path / "training_1").mkdir()
    (tmp_path / "training_1" / f"kernel.{name}-440.py311.nbi").write_text("")
    assert not cached_files()  # an index without what it is of
    (tmp_path / "training_1" / f"kernel.{name}-440.py311.1.nbc").write_text("")
    assert cached_files()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "cache"))  # numba takes the next
    (tmp_path / "training_1").rename(tmp_path / "__pycache__")
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    assert cached_files()
