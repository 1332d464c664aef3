"""The figures of the study of monosemanticity, against its runs."""

import numpy as np
import pytest

import mlpspec
from mlpspec.analysis.analysis import Analysis
from mlpspec.data.datasets import mean_spacing
from mlpspec.report import figures

QUICK = {"n_samples": (4, 6), "seed": range(3), "steps": 5}


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    folder = tmp_path_factory.mktemp("monosemanticity")
    mlpspec.run_study(mlpspec.studies.monosemanticity().replace(**QUICK), folder, n_jobs=1)
    for name in mlpspec.studies.COMPANIONS["monosemanticity"]:
        inner = mlpspec.studies.companion(name, QUICK)
        mlpspec.run_study(inner, folder / name, n_jobs=1)
    return Analysis(folder)


def test_differences_are_those_of_the_runs_of_one_seed(analysis):
    def values(results, label, size, name):
        return np.array(
            [
                results.table[name][
                    (results.table["losses"] == label)
                    & (results.table["n_samples"] == size)
                    & (results.table["seed"] == seed)
                ][0]
                for seed in QUICK["seed"]
            ]
        )

    folder = analysis.directory
    baseline = mlpspec.load(folder)
    compared = {label: (baseline, label) for label in baseline.table["losses"].tolist()}
    del compared["baseline"]
    compared |= {
        "reversed deactivation": (mlpspec.load(folder / "deactivation"), "baseline"),
        "another start": (mlpspec.load(folder / "placebo"), "baseline"),
    }
    rows = figures.FIGURES["monosemanticity"].rows(analysis)
    assert {*rows["losses"].tolist()} == {*compared}
    assert {"inhibition", "promotion"} < {*compared}
    units = {"reconstruction_error": lambda size: mean_spacing(2.0, size, 1)}
    moved = 0
    for name, label, size, value in zip(
        *(rows[column].tolist() for column in ("measurement", "losses", "n_samples", "value")),
        strict=True,
    ):
        results, subset = compared[label]
        less = values(results, subset, size, name) - values(baseline, "baseline", size, name)
        unit = units.get(name, lambda _: 1.0)(size)
        np.testing.assert_allclose(value, np.median(less) / unit, rtol=1e-12, atol=1e-15)
        moved += value != 0.0
    assert moved > 20
    assert len(rows["value"]) == 5 * 2 * len(compared)


def test_scores_stand_beside_untrained_and_random_networks(analysis):
    rows = figures.FIGURES["scores"].rows(analysis)
    nulls = rows["losses"][rows["kind"] == "null"]
    assert {*nulls.tolist()} == {"start", "random"}
    canvas = figures.draw("scores", rows)
    words = [text.get_text() for legend in canvas.legends for text in legend.get_texts()]
    assert "null: random networks, 95 % band" in words
    assert "null: equally spaced grid" not in words
