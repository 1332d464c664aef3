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
from mlpspec.report.figures.marks import SIZE_STYLES

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
    for whole, *survives in itertools.product((True, False), repeat=4):
        expected = 1.0 if whole else 1.1
        for level, good in zip((0.8, 0.5, 0.2), survives, strict=True):
            if not good:
                break
            expected = level
        levels = np.array([1.1, 1.0, 0.8, 0.5, 0.2])
        assert smallest(levels, np.array([whole, *survives])[:, None]).tolist() == [expected]


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


def of_curves(curves, name, others):
    """Return a grid of one measurement by subset: whole, then at each of ``KEEPS``; N = 10."""
    parts = []
    for place, text in enumerate(("none", *(f"prune_fit(keep={keep})" for keep in KEEPS))):

        def values(label, size, seed, place=place):
            return {**others, name: curves[label][place], "neurons_left": 10.0}

        parts.append(table_of(values, labels=[*curves], sizes=(10,), seeds=6, compress=text))
    return Grid({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


KEEPS = (0.8, 0.5, 0.2)
FINE = {"fit_fvu": 0.0, "hit_rate": 0.5, "nearest_error": 0.1, "usage_ratio": 0.5}
STANDARDS = [
    # the baseline whole; the best and the worst that survive; what does not: spacing 0.2
    ("fit", "fit_fvu", 0.01, 0.06, 0.0601),
    ("nearness", "nearest_error", 0.1, 0.12, 0.1201),
    ("hits", "hit_rate", 0.5, 0.45, 0.4499),
    ("usage", "usage_ratio", 0.5, 0.45, 0.4499),
]


@pytest.mark.parametrize(("quantity", "name", "whole", "good", "bad"), STANDARDS)
def test_all_are_judged_by_the_whole_baseline_by_hand(quantity, name, whole, good, bad):
    """Not by themselves when whole: what is above the standard there is at no level."""
    curves = {
        "baseline": (whole, whole, good, bad),
        "coverage": (good, good, good, good),
        "separation": (good, bad, good, good),
        "overlap": (bad, bad, bad, bad),
        "coverage+overlap": (bad, good, bad, good),
    }
    grid = of_curves(curves, name, FINE)
    found = where(smallest_levels(grid, {10: Size(0.2, 10)}), quantity=quantity)
    assert found["level"].tolist() == [0.5, 0.2, 1.0, 1.1, 0.8]
    assert found["difference"].round(9).tolist() == [0.0, -0.3, 0.5, 0.6, 0.3]


@pytest.mark.parametrize(("quantity", "name", "whole", "good", "bad"), STANDARDS)
def test_nothing_is_smaller_by_being_worse(quantity, name, whole, good, bad):
    """Whatever the baseline's curve: one that is nowhere better has no smaller level."""
    rng, worse = np.random.default_rng(0), np.sign(bad - whole)
    for _ in range(10):
        baseline = whole + worse * rng.uniform(0.0, 0.1, 4)
        overlap = baseline + worse * rng.uniform(0.0, 0.1, 4)
        overlap[1:] = np.where(rng.random() < 0.5, overlap[0], overlap[1:])  # nothing to lose
        overlap = worse * np.maximum(worse * overlap, worse * baseline)
        grid = of_curves({"baseline": baseline, "overlap": overlap}, name, FINE)
        found = where(smallest_levels(grid, {10: Size(0.2, 10)}), quantity=quantity)
        assert found["difference"][1] >= 0.0
    lost = {"baseline": (whole, whole, bad, bad), "overlap": (bad,) * 4}
    found = smallest_levels(of_curves(lost, name, FINE), {10: Size(0.2, 10)})
    assert where(found, quantity=quantity)["level"].tolist() == [0.8, 1.1]


def test_bits_that_are_too_few_even_when_whole_are_65():
    def values(label, size, seed):
        return {**FINE, "fit_fvu": 0.2 * (label == "overlap"), "neurons_left": 4.0}

    parts = [
        table_of(values, labels=["baseline", "overlap"], sizes=(4,), seeds=6, compress=text)
        for text in ("none", "quantise(bits=4)")
    ]
    grid = Grid({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    found = where(smallest_levels(grid, {4: Size(0.5, 4)}), quantity="fit")
    assert found["level"].tolist() == [4.0, 65.0]


def test_nulls_are_compared_with_nothing(grid):
    """They have levels, which those of the methods are less; Holm does not count them."""
    found = smallest_levels(grid, {4: Size(spacing=0.5, width=4)})
    null = where(found, quantity="fit", method="prune_random")
    assert np.isfinite(null["level"]).all()
    for name in ("difference", "difference_low", "difference_high", "p", "p_holm", "over_null"):
        assert np.isnan(null[name]).all()
    assert np.isfinite(where(found, quantity="fit", method="prune_fit")["over_null"]).all()
    assert np.isfinite(found["p_holm"]).sum() == 4 * 2 * 2  # quantities, methods, subsets


def test_what_serves_no_input_is_left_out_to_no_level():
    """In place of levels: how many neurons are left, and how well they fit."""
    left = {"baseline": 5.0, "coverage": 7.0}

    def values(label, size, seed, text):
        lost = 0.0 if text == "none" else 0.1 * left[label]
        return {**FINE, "fit_fvu": lost, "neurons_left": left[label] + (seed == 0)}

    parts = [
        table_of(
            lambda *run, text=text: values(*run, text),
            labels=[*left],
            sizes=(10,),
            seeds=6,
            compress=text,
        )
        for text in ("none", "prune_unused", "prune_fit")
    ]
    grid = Grid({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    found = where(smallest_levels(grid, {10: Size(0.2, 10)}), method="prune_unused")
    assert found["quantity"].tolist() == ["neurons_left"] * 2 + ["fit_fvu"] * 2
    assert found["level"].round(9).tolist() == [5.0, 7.0, 0.5, 0.7]
    assert found["high"].round(9).tolist() == [6.0, 8.0, 0.5, 0.7]
    assert found["difference"].tolist() == [0.0, 2.0, 0.0, 0.2]
    assert found["p_holm"][1::2].tolist() == [2 / 2**6] * 2  # one subset at one N


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
        compress=("none", "prune_unused", "prune_fit", "distil", "narrow", "quantise"),
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
    assert [ax.axison for ax in canvas.axes[-3:]] == [True, True, False]  # nearness by bits
    # An N is a colour and a marker, named in the legend, whatever the subset.
    words = [text.get_text() for text in canvas.legends[0].get_texts()]
    assert words[-2:] == ["N = 5", "N = 8"]
    marks = [bar.lines[0] for bar in canvas.axes[-6].containers]
    assert [(mark.get_color(), mark.get_marker()) for mark in marks] == [*SIZE_STYLES[:2]]
    # One dotted line for the student that is the same for all subsets.
    dotted = [
        line
        for line in canvas.axes[1].lines
        if line.get_linestyle() == ":" and len(line.get_xdata())
    ]
    assert len(dotted) == 1
    # The worst that survives is that of the whole baselines.
    whole = where(analysis.results.table, compress="none", losses="baseline", n_samples=8)
    (worst,) = where(table, kind="standard", measurement="fit_fvu", n_samples=8)["value"]
    assert worst == np.median(whole["fit_fvu"]) + 0.05
    assert "are 12 comparisons" in figures.caption("compression", table)
    assert "at N = 8" in figures.caption("compression", table)
    whole = mlpspec.Study("whole", {"seed": (0, 1)}, {"n_samples": 5, "steps": 2})
    assert Analysis(mlpspec.run_study(whole, tmp_path / "whole", n_jobs=1)).compression == {}
