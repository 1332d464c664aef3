"""Survival: verdicts beside the default's, by axis, and what chance does."""

import numpy as np
import pytest
from scipy.stats import binomtest

import mlpspec
from mlpspec import studies
from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import where
from mlpspec.analysis.readings import judge_groups, judge_variants
from mlpspec.analysis.survival import CHANCE, most_decisive, survival, survival_lines
from mlpspec.study.stages import separation_sweep
from mlpspec.study.study import Study

CHOICES = {
    "fit": {"mean": {}, "half": {"fit_weight": 0.5}, "no": {"fit_weight": 0.0}},
    "weight": {"0.1": {}, "1": {"weight": 1.0}},
}
ROWS = [
    ("default", "mean", "0.1", 0, "holds", "mixed"),
    ("half", "half", "0.1", 1, "holds", "mixed"),
    ("no", "no", "0.1", 1, "fails", "holds"),
    ("heavy", "mean", "1", 1, "mixed", "fails"),
    ("both", "half", "1", 2, "untested", "mixed"),
]
NAMES = ("variant", "fit", "weight", "changed", "C1", "C2")
READINGS = {
    name: np.array(column) for name, column in zip(NAMES, zip(*ROWS, strict=True), strict=True)
}
READINGS |= {"C1_at": np.array(["3/3", "3/3", "0/3", "2/3", "0/0"])}
READINGS |= {"C2_at": np.array(["2/3", "1/3", "3/3", "0/3", "2/3"])}


def counts(table, claim, axis):
    row = where(table, claim=claim, axis=axis)
    return [row[name].tolist() for name in ("survives", "turns_round", "undecided")]


def test_counts_by_axis():
    groups = {"C1": np.array(["holds", "fails"]), "C2": np.array(["mixed", "mixed"])}
    table = survival(READINGS, CHOICES, groups)
    assert counts(table, "C1", "fit") == [[1], [1], [0]]
    assert counts(table, "C1", "weight") == [[0], [0], [1]]
    assert counts(table, "C1", "combinations") == [[0], [0], [1]]
    assert counts(table, "C1", "all settings") == [[1], [1], [2]]
    assert counts(table, "C1", CHANCE) == [[1], [1], [0]]
    # Where the default is mixed itself, nothing can turn round.
    assert counts(table, "C2", "all settings") == [[2], [0], [2]]
    (row,) = np.flatnonzero((table["claim"] == "C1") & (table["axis"] == "all settings"))
    interval = binomtest(1, 4).proportion_ci(method="wilson")
    assert (table["share"][row], table["low"][row]) == pytest.approx((0.25, interval.low))
    assert table["high"][row] == pytest.approx(interval.high)
    assert where(table, claim="C1", axis="fit")["not_in"].tolist() == ["no"]
    lines = survival_lines(table)
    assert lines[2].split() == ["fit", "1/1/0", "1/0/1"]
    assert len(lines) == 2 + 5


def test_what_was_set_for_all_is_no_axis():
    heavy = {name: column[:3] for name, column in READINGS.items()} | {"weight": np.full(3, "1")}
    assert {*survival(heavy, CHOICES)["axis"]} == {"fit", "all settings"}


def test_the_most_decisive_turn_most_round_then_leave_most_undecided():
    assert most_decisive(READINGS) == ["default", "no", "heavy", "half"]


AXES = {"losses": studies.paper().axes["losses"], "n_samples": (3, 5), "seed": range(6)}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Two variants of a small study, one of another width, with the sweep and a study of chance."""
    out = tmp_path_factory.mktemp("robustness")
    variants = {"default": {}, "width-30": {"n_hidden": 30}, "steep": {"initializer": "steep"}}
    study = Study("robustness", AXES, {"steps": 40}, variants=variants)
    chance = Study("chance", AXES, {"steps": 40}, variants={"default": {}})
    for each, folder in ((study, out), (chance, out / "chance")):
        mlpspec.run_study(each, folder, n_jobs=1)
        mlpspec.run_study(separation_sweep(each), folder / "tau-sweep", n_jobs=1)
    return out


def test_a_group_of_seeds_is_judged_as_a_variant_is(directory):
    chance = Analysis(directory).inner("chance")
    sweep = chance.sweep.results
    (whole,) = [judge_variants(chance.results, sweep)]
    groups = judge_groups(chance.results, sweep, 6)
    assert all(groups[name].tolist() == whole[name].tolist() for name in groups)
    assert len(judge_groups(chance.results, sweep, 2)["C1"]) == 3
    assert len(judge_groups(chance.results, sweep, 4)["C1"]) == 1  # the other two are no group


def test_variants_of_other_widths_are_judged_too(directory):
    analysis = Analysis(directory)
    assert analysis.grid.fields == ("n_samples", "variant")
    assert {*analysis.readings["variant"]} == {"default", "width-30", "steep"}
    assert "untested" not in {*analysis.readings["C8"]}
    assert analysis.ranked[0] == "default"
    assert sorted(analysis.ranked) == ["default", "steep", "width-30"]
    table = analysis.survival
    assert {*table["axis"]} == {"width", "start", "all settings", "other seeds"}
    # The only group of seeds is the default's own.
    assert (where(table, axis="other seeds")["share"] == 1.0).all()


def test_readings_have_no_survival(tmp_path):
    study = Study("readings", {**AXES, "n_samples": (3,)}, {"steps": 5}, variants={"default": {}})
    mlpspec.run_study(study, tmp_path, n_jobs=1)
    analysis = Analysis(tmp_path)
    assert analysis.survival == {}
    assert analysis.ranked == ["default"]


def test_the_default_alone_has_no_survival(tmp_path):
    chosen = {name: v for name, v in studies.robustness().variants.items() if name == "default"}
    study = studies.robustness().replace(n_samples=(3,), seed=(2000,), steps=3, variants=chosen)
    mlpspec.run_study(study, tmp_path, n_jobs=1, engine="numpy")
    assert not Analysis(tmp_path).survival
