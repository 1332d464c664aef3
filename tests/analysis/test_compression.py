"""What survives compression, on tables with known answers, and the study and figure of it."""

import itertools

import numpy as np
import pytest
from helpers import table as table_of

import mlpspec
from mlpspec import studies
from mlpspec.analysis import compression
from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import Grid, where
from mlpspec.analysis.compression import Size, by_level, methods_of, smallest, smallest_levels
from mlpspec.compress import COMPRESSIONS
from mlpspec.report import figures

LEVELS = ("none", "prune_fit(keep=0.75)", "prune_fit", "prune_random", "quantise(bits=4)")
LOST = {
    # N = 4: by how much more of the variance is unexplained at each level
    "baseline": (0.0, 0.04, 0.2, 0.2, 0.01),
    "coverage": (0.0, 0.06, 0.0, 0.01, 0.06),
    "overlap": (0.0, 0.05, 0.05, 0.9, np.nan),
}


def compressed(text):
    def values(label, size, seed):
        return {
            "fit_fvu": 0.1 * seed + LOST[label][LEVELS.index(text)],
            "hit_rate": 0.5,
            "nearest_error": 0.1,
            "usage_ratio": 0.5,
            "neurons_left": np.nan if text == "none" else (2.0 if "random" in text else 4.0),
        }

    return values


@pytest.fixture
def grid():
    parts = [
        table_of(compressed(text), labels=[*LOST], sizes=(4,), seeds=6, compress=text)
        for text in LEVELS
    ]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Grid(columns)


def test_the_smallest_level_is_that_down_to_which_all_survive():
    for survives in itertools.product((True, False), repeat=3):
        expected = 1.0
        for level, good in zip((0.8, 0.5, 0.2), survives, strict=True):
            if not good:
                break
            expected = level
        found = smallest(np.array([0.8, 0.5, 0.2]), np.array(survives)[:, None], 1.0)
        assert found.tolist() == [expected]


def test_smallest_levels_by_hand(grid):
    assert compression.applies(grid)
    found = smallest_levels(grid, {4: Size(spacing=0.5, width=4)})
    level = {
        (method, label): where(found, quantity="fit", method=method, losses=label)
        for method in ("prune_fit", "prune_random", "quantise")
        for label in LOST
    }
    # The baseline survives the first level of prune_fit; coverage does not, and that it is whole
    # again at the second does not count; overlap loses no more than the margin at both.
    assert [level["prune_fit", label]["level"][0] for label in LOST] == [0.75, 1.0, 0.5]
    assert [level["prune_random", label]["level"][0] for label in LOST] == [1.0, 0.5, 1.0]
    assert [level["quantise", label]["level"][0] for label in LOST] == [4.0, 64.0, 64.0]
    row = level["prune_fit", "overlap"]
    assert (row["difference"][0], row["difference_low"][0], row["difference_high"][0]) == (
        -0.25, -0.25, -0.25,
    )  # fmt: skip
    assert row["over_null"][0] == -0.5
    assert row["seeds"][0] == 6
    assert row["p"][0] == pytest.approx(2 / 2**6)
    assert row["p_holm"][0] == pytest.approx(2 * 2 / 2**6)  # of two subsets
    assert np.isnan(level["prune_fit", "baseline"]["p_holm"][0])
    assert np.isnan(level["quantise", "overlap"]["over_null"][0])  # it has none


def test_equal_differences_are_ties():
    """0.8 - 0.6 is more than 0.6 - 0.4 in floating point, and the same here."""
    down_to = {"baseline": (0.8,) * 3 + (0.6,) * 3, "overlap": (0.6,) * 3 + (0.4, 0.4, 0.8)}
    parts = []
    for text in ("none", *(f"prune_fit(keep={keep})" for keep in (0.8, 0.6, 0.4))):
        level = compression.method_of(text)[1]

        def values(label, size, seed, text=text, level=level):
            lost = 1.0 if text != "none" and level < down_to[label][seed] else 0.0
            return compressed("none")(label, size, 0) | {"fit_fvu": lost, "neurons_left": 5 * level}

        parts.append(table_of(values, labels=[*down_to], sizes=(5,), seeds=6, compress=text))
    grid = Grid({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    found = smallest_levels(grid, {5: Size(spacing=0.4, width=5)})
    (p,) = where(found, quantity="fit", losses="overlap")["p"]
    assert p == pytest.approx(2 * 7 / 2**6)  # at most one of six of equal size is above zero


def test_usage_is_over_the_inputs(grid):
    """Half of two neurons that are left is a quarter of four inputs."""
    levels = where(by_level(grid, {4: Size(0.5, 4)}), measurement="used_share", losses="coverage")
    method, level, value = (levels[name].tolist() for name in ("method", "level", "value"))
    used = dict(zip(zip(method, level, strict=True), value, strict=True))
    assert used == {
        ("prune_fit", 1.0): 0.5,
        ("prune_fit", 0.75): 0.5,
        ("prune_fit", 0.5): 0.5,
        ("prune_random", 1.0): 0.5,
        ("prune_random", 0.5): 0.25,
        ("quantise", 64.0): 0.5,
        ("quantise", 4.0): 0.5,
    }
    narrow = compression.values_of(grid, (4, "none"), "coverage", "used_share", 2)
    assert narrow.tolist() == [0.25] * 6


def test_all_methods_are_in_the_study_and_their_nulls_too():
    methods = methods_of(studies.compression().axes["compress"])
    assert {name.partition("(")[0] for name in methods} | {"none"} == {*COMPRESSIONS}
    for method, null in compression.NULLS.items():
        assert [*methods[method]] == [*methods[null]]
    assert {*figures.FIGURES["compression"].draw.__globals__["COLUMNS"]} <= {*methods}


def test_the_figure_and_the_table_are_made_of_the_runs(tmp_path):
    study = studies.compression().replace(
        n_samples=(5, 8),
        seed=range(2),
        steps=20,
        losses=("baseline", "coverage"),
        compress=("none", "prune_unused", "prune_fit", "prune_random", "distil", "quantise"),
    )
    analysis = Analysis(mlpspec.run_study(study, tmp_path, n_jobs=1))
    assert analysis.comparisons_table() == {}
    analysis.write_tables()
    assert (tmp_path / "compression.csv").exists()
    drawn = figures.tables(analysis)
    assert [*drawn] == ["compression"]
    table = drawn["compression"]
    runs = where(analysis.results.table, compress="prune_fit", losses="coverage", n_samples=8)
    names = {"kind": "level", "method": "prune_fit", "level": 0.5, "losses": "coverage"}
    (value,) = where(table, measurement="fit_fvu", n_samples=8, **names)["value"]
    assert value == np.median(runs["fit_fvu"])
    unused = where(table, method="prune_unused", measurement="hit_rate", n_samples=8)
    assert (unused["level"] <= 1.0).all()
    canvas = figures.draw("compression", table)
    assert len(canvas.axes) == 6 * 3
    assert "at N = 8" in figures.caption("compression", table)
    whole = mlpspec.Study("whole", {"seed": (0, 1)}, {"n_samples": 5, "steps": 2})
    assert Analysis(mlpspec.run_study(whole, tmp_path / "whole", n_jobs=1)).compression == {}
