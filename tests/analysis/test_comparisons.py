import numpy as np
import pytest
from helpers import LABELS, table

from mlpspec.analysis.comparisons import Grid, compare, pairs, twins
from mlpspec.metrics.statistics import holm, median_interval, sign_flip


def noise(seed=0):
    rng = np.random.default_rng(seed)
    return lambda *_: {"a": rng.normal(), "b": rng.normal()}


def test_grid_finds_every_run():
    runs = table(lambda label, size, seed: {"a": len(label) + size / 100 + seed / 1e4})
    grid = Grid(runs)
    assert grid.cells == [(3,), (10,)]
    assert grid.labels == LABELS
    for cell in grid.cells:
        for label in LABELS:
            expected = len(label) + cell[0] / 100 + np.arange(10) / 1e4
            np.testing.assert_array_equal(grid.values(cell, label, "a"), expected)


def test_widths_make_cells_where_one_size_has_several():
    runs = table(noise())
    assert Grid(runs).fields == ("n_samples",)
    wide = {name: np.concatenate([values, values]) for name, values in runs.items()}
    wide["n_hidden"] = np.repeat([4, 8], len(runs["key"]))
    assert Grid(wide).fields == ("n_samples", "n_hidden")
    assert Grid(wide).cells == [(3, 4), (3, 8), (10, 4), (10, 8)]
    wide.pop("shift")  # a field that an older table lacks
    assert Grid(wide).fields == ("n_samples", "n_hidden")


def test_runs_that_are_not_ok_are_missing():
    runs = table(noise())
    runs["status"][4] = "diverged"
    values = Grid(runs).values((3,), "baseline", "a")
    assert np.isnan(values).tolist() == [False] * 4 + [True] + [False] * 5


def test_pairs():
    assert twins(LABELS, "overlap") == [
        ("overlap", "baseline"),
        ("coverage+overlap", "coverage"),
        ("separation+overlap", "separation"),
        ("coverage+separation+overlap", "coverage+separation"),
    ]
    families = [pair.family for pair in pairs(LABELS)]
    assert {family: families.count(family) for family in families} == {
        "baseline": 7,
        "twin": 4,
        "coverage": 7,
    }
    assert pairs(["coverage"]) == []


def test_rows_against_the_plain_statistics():
    grid = Grid(table(noise()))
    rows = compare(grid)
    assert len(rows) == 2 * 18 * 2
    for row in rows[::7]:
        cell = (row["n_samples"],)
        d = grid.values(cell, row["treatment"], row["measurement"]) - grid.values(
            cell, row["control"], row["measurement"]
        )
        interval = median_interval(d)
        assert (row["median_difference"], row["low"], row["high"]) == interval[:3]
        assert row["p"] == sign_flip(d[:, None])[0]
        assert row["wins"] == pytest.approx((d < 0).mean())
    family = [r for r in rows if r["family"] == "twin" and r["measurement"] == "b"]
    adjusted = holm(np.array([row["p"] for row in family]))
    np.testing.assert_array_equal([row["p_holm"] for row in family], adjusted)


def test_ten_seeds_cannot_reach_significance_in_a_large_family():
    rows = compare(Grid(table(lambda label, size, seed: {"a": len(label) + seed / 100})))
    reach = {row["family"]: row["can_reach"] for row in rows}
    # 2 / 1024 times 14 comparisons is below 0.05, times 28 it would not be.
    assert reach["baseline"] == "yes"
    four = compare(Grid(table(noise(), sizes=(3, 5, 10, 20))))
    assert {row["can_reach"] for row in four if row["family"] == "coverage"} == {"no"}
    assert {row["can_reach"] for row in four if row["family"] == "twin"} == {"yes"}


def test_ties_cannot_reach_significance():
    rows = compare(Grid(table(lambda *_: {"a": 1.0})))
    assert {row["can_reach"] for row in rows} == {"no"}
    assert {row["p"] for row in rows} == {1.0}
    assert {row["wins"] for row in rows} == {0.5}
