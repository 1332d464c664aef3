"""One rule for what is undefined: NaN, left out, counted, and without a warning anywhere."""

import csv

import numpy as np
import pytest
from helpers import table

import mlpspec
from mlpspec.analysis.comparisons import Grid, compare, median_columns
from mlpspec.cli.command import main
from mlpspec.metrics.hull import hull_escape
from mlpspec.metrics.measure import fit_fvu
from mlpspec.metrics.prototypes import spread_ratio
from mlpspec.metrics.statistics import average, hill_index, median_interval, summaries, win_share
from mlpspec.network.forward import forward
from mlpspec.network.neurons import RidgeParams

EPS = np.finfo(float).eps
ODD = np.array([np.inf, 3.0, np.nan, 1.0, -np.inf, 2.0])


def unexplained(y, x=None):
    y = np.array([y], dtype=float)
    x = np.linspace(-1, 1, y.shape[1])[None, :, None] if x is None else np.array(x)[None, :, None]
    params = RidgeParams(np.ones((1, 1, 1)), np.zeros((1, 1)), np.ones((1, 1)), np.zeros(1))
    return fit_fvu(forward(params, x, y))[0]


@pytest.mark.parametrize(
    "y",
    [
        [0.0, 0.0, 0.0],
        [0.1, 0.1, 0.1],
        [0.1 + 0.2, 0.3, 0.3],
        [1.0, 1.0 + EPS, 1.0 - EPS],
        [1e9, 1e9 * (1 + 2 * EPS), 1e9],
        np.sin(np.pi * np.array([-1.0, 1.0, 1.0])),
        [1e-300, 2e-300, 0.0],
    ],
)
def test_equal_targets_leave_no_variance_to_explain(y):
    assert np.isnan(unexplained(y))


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9, 1e150])
def test_targets_that_differ_have_their_share(scale):
    y = scale * np.array([1.0, 1.001, 1.002])
    mse = np.mean((np.exp(-(np.array([-1.0, 0.0, 1.0]) ** 2)) - y) ** 2)
    assert unexplained(y) == pytest.approx(mse / np.var(y), rel=1e-9)


def test_tiny_units_of_inputs_and_targets_are_no_rounding():
    assert np.isfinite(unexplained([1e-20, 2e-20, 3e-20], [0.0, 1e-20, 2e-20]))


def test_equal_inputs_have_no_spread_and_no_outside():
    x = np.array([[[0.3], [0.1 + 0.2], [0.3], [0.3]]])
    assert np.isnan(spread_ratio(x, x + 1.0))
    assert hull_escape(x, x * (1 + EPS))[0] == 0.0
    assert hull_escape(x, x + 1e-9)[0] == 1.0


def test_every_statistic_leaves_out_what_is_not_finite():
    known = ODD[np.isfinite(ODD)]
    assert median_interval(ODD) == median_interval(known)
    assert median_columns(ODD)["seeds"] == 3
    assert average(ODD[:, None]) == average(ODD[:, None], "medians") == 2.0
    assert win_share(-ODD) == 1.0
    found = {name: value[0] for name, value in summaries(ODD[None]).items()}
    assert found["count"] == 3
    assert found["mean"] == found["median"] == 2.0
    assert (found["q25"], found["q75"], found["std"]) == (1.5, 2.5, 1.0)
    tail = 1.0 / np.arange(1.0, 51.0)
    assert hill_index(np.append(tail, [np.inf, np.nan])) == hill_index(tail)


def test_statistics_of_nothing_and_of_what_overflows_are_nan():
    for values in (np.full(3, np.nan), np.full(3, np.inf), np.zeros(0), np.full(20, 1.5e308)):
        found = summaries(values[None])
        assert not np.isinf(list(found.values())).any()
        assert not np.isinf(average(values[:, None]))
        assert not np.isinf(average(values[:, None], "medians"))
    assert np.isnan(hill_index(np.full(20, 1e10)))
    assert hill_index(np.geomspace(1e-300, 1e300, 20)) > 0


def test_comparisons_count_the_defined_pairs():
    def values(label, size, seed):
        return {"fit_fvu": np.inf if seed < 4 else seed + (label == "overlap")}

    grid = Grid(table(values, ["baseline", "overlap"], (3,), 10))
    for row in compare(grid):
        assert (row["pairs"], row["nonzero"]) == (6, 6)
        assert row["median_difference"] == 1.0
        assert row["p"] == 2.0**-5


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def degenerate(tmp_path_factory):
    """A study of a column of two values, in which some draws of three have equal ones."""
    folder = tmp_path_factory.mktemp("two-values")
    x = ["-1,0.2", "1,0.3", "1,0.9", "1,0.1", "1,0.5", "1,0.7"]
    (folder / "two.csv").write_text("\n".join(["x,z", *x]) + "\n")
    settings = f"steps=20 dataset=file:{folder / 'two.csv'} columns=x target=sine".split()
    out = folder / "o"
    asked = ["--quiet", "--sizes", "3", "--seeds", "0:4", "--out", str(out), "--set", *settings]
    assert main(["run", "--jobs", "1", *asked]) == 0
    return out


@pytest.mark.slow
def test_a_degenerate_study_has_one_median_in_all_tables(degenerate):
    runs = rows(degenerate / "runs.csv")
    summary = {(r["losses"], r["measurement"]): r for r in rows(degenerate / "summary.csv")}
    drawn = rows(degenerate / "figures" / "outcomes.csv")
    known = [float(r["fit_fvu"]) for r in runs if r["losses"] == "baseline" and r["fit_fvu"]]
    assert len(known) < 4
    assert all(value < 1e6 for value in known)
    (median,) = [
        r
        for r in drawn
        if (r["measurement"], r["kind"], r["losses"]) == ("fit_fvu", "median", "baseline")
    ]
    told = summary["baseline", "fit_fvu"]
    assert told["median"] == median["value"]
    assert int(told["count"]) == int(median["seeds"]) == len(known)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["runs", "summary", "nulls", "comparisons", "claims"])
def test_no_table_has_an_infinite_number(degenerate, name):
    text = (degenerate / f"{name}.csv").read_text()
    assert ",inf" not in text
    assert ",-inf" not in text


def test_what_is_stored_and_infinite_reads_as_undefined(tmp_path):
    study = mlpspec.studies.paper().replace(n_samples=(3,), seed=(0, 1), steps=5)
    mlpspec.run_study(study, tmp_path / "r", n_jobs=1)
    results = mlpspec.load(tmp_path / "r")
    for record in results._records:
        record.measurements["fit_fvu"] = np.inf
    assert np.isnan(results.table["fit_fvu"]).all()
    assert set(results.summary()["count"].tolist()) == {0, 2}
