"""The benchmark of ``experiments`` runs, also without its peers."""

import json

import pytest
from helpers import ROOT


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "experiments")
    import benchmark

    def absent(package):
        raise ImportError(package)

    monkeypatch.setattr(benchmark, "import_module", absent)
    return benchmark


def test_exponentials_of_a_step_are_counted(benchmark):
    study = benchmark.STUDY.replace(n_samples=(4,), seed=(0,))
    # Eight subsets respond 16 times, four cover 16 times, four part 6 pairs.
    assert benchmark.exponentials(study) == 8 * 16 + 4 * 16 + 4 * 6


def test_exponents_are_slopes_on_logarithmic_axes(benchmark):
    rows = [{"N": n, "time": 3.0 * n**2} for n in (10, 100, 1000)]
    assert benchmark.exponent(rows, "N", "time") == pytest.approx(2.0)


def test_a_contender_that_does_other_work_is_found_out(benchmark):
    study = benchmark.STUDY.replace(n_samples=(3,), seed=(0,))

    class Lazy(benchmark.Command):
        def objectives(self, steps):
            return super().objectives(steps - 1)

    honest, lazy = (kind(study, 1, "numpy") for kind in (benchmark.Command, Lazy))
    lazy.name = "the lazy one"
    with pytest.raises(SystemExit, match=r"^the lazy one does other work: objectives differ by"):
        benchmark.same_work([honest, honest, lazy], 3)


@pytest.mark.slow
def test_both_halves_make_the_figure_without_peers(benchmark, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "WORKERS", 1)  # a second one would only have to start
    monkeypatch.setattr(benchmark, "JOBS", (1,))
    compiled_soon = "import os; os.environ['NUMBA_OPT'] = '0'\n"  # in half the time
    monkeypatch.setattr(benchmark, "LOADING", compiled_soon + benchmark.LOADING)
    benchmark.main(["--quick", "--only", "race", "--out", str(tmp_path)])
    out = capsys.readouterr().out
    assert "jax is not installed and is left out" in out
    assert "torch is not installed and is left out" in out
    assert not (tmp_path / "benchmark.svg").exists()
    benchmark.main(["--quick", "--only", "growth", "--out", str(tmp_path)])
    assert (tmp_path / "benchmark.svg").read_text().startswith("<?xml")
    found = json.loads((tmp_path / "benchmark.json").read_text())
    times = {row["contender"]: row["ms a step"] for row in found[benchmark.RACE]}
    assert 0 < times["the exponentials alone"] < times["mlpspec, numpy, one process"]
    assert [row["N"] for row in found[benchmark.SIZE]] == 2 * [10, 20]
    assert [row["N"] for row in found[benchmark.RIDING]] == [3]
    assert all(row["peak MB"] > 10 for row in found[benchmark.RUNS])
