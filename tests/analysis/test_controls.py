"""Controls: their questions, how they are answered, and the signs of the phase diagram."""

import numpy as np
import pytest

import mlpspec
from mlpspec import studies
from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.comparisons import Grid, as_table, where
from mlpspec.analysis.controls import answers, returned, signs
from mlpspec.metrics.hull import expelled
from mlpspec.metrics.measure import MEASUREMENTS
from mlpspec.metrics.nulls import grid_null
from mlpspec.network.forward import forward
from mlpspec.report import figures
from mlpspec.report.figures.phase import FIELDS
from mlpspec.report.report import Report
from mlpspec.study.controls import DOUBTS, EFFECTS, GRID, RETURNED, controls, phase, questions
from mlpspec.study.problem import domain_of
from mlpspec.study.study import Study


def test_every_control_is_asked_about():
    asked, variants = questions(), controls().variants
    assert len(asked) == len(set(asked))
    assert {q.one.variant for q in asked} == {*variants}
    assert len(variants) == 1 + sum(map(len, DOUBTS.values()))
    for question in asked:
        assert {question.one.variant, question.other.variant} <= {*variants, GRID}
        assert question.measurement in {*MEASUREMENTS, "gradient_norm", RETURNED}
        assert question.direction in ("lower", "higher", "differs")


def grid(effects):
    """Runs of the variant ``default``, coverage with errors that lie ``effects`` away."""
    run = {"key": "", "n_samples": 10, "n_hidden": 10, "status": "ok", "variant": "default"}
    nothing = {"distinct_usage_ratio": 0.5, "expelled_fraction": 0.1}
    rows = []
    for seed, effect in enumerate(effects):
        for label, error in (("baseline", 1.0), ("coverage", 1.0 + effect), ("overlap", 1.0)):
            rows.append(
                {**run, "losses": label, "seed": seed, "reconstruction_error": error, **nothing}
            )
    return Grid(as_table(rows), ("n_samples", "variant"))


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        (np.linspace(-0.9, -0.5, 20), "yes"),
        (np.linspace(-0.9, -0.5, 5), "undecided"),  # too few for Holm over four questions
        (np.linspace(-0.01, 0.01, 20), "no"),
        (np.linspace(0.5, 0.9, 20), "no"),
        (np.linspace(-0.9, 0.7, 20), "undecided"),
        (np.full(20, np.nan), "undecided"),
    ],
)
def test_answers(effects, expected):
    table = answers(grid(effects), {10: 0.2}, lambda size, name: None, {})
    row = where(table, question="coverage lowers the error")
    assert row["margin"].tolist() == pytest.approx([0.02])
    assert row["answer"].tolist() == [expected]
    # Equal shares are no difference: the interval ends before the margin.
    enough = len(effects) > 5  # of fewer pairs no interval has a confidence of 0.95
    assert where(table, question="overlap expels")["answer"].tolist() == [
        "no" if enough else "undecided"
    ]
    assert len(table["answer"]) == 4  # other variants are not there


SMALL = {
    "default": {},
    "steps-10000": {"steps": 30},
    "inputs-x1": {"initializer": "spaced"},
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A small study under the name of the controls, and a small phase diagram inside."""
    out = tmp_path_factory.mktemp("controls")
    axes = {"losses": studies.paper().axes["losses"], "n_samples": (3, 5), "seed": range(4)}
    mlpspec.run_study(Study("controls", axes, {"steps": 20}, variants=SMALL), out, n_jobs=1)
    small = phase().replace(
        n_samples=(4,), steps=(3000,), weight=(0.1, 1.0), temperature=(0.04, 1.0), seed=range(2)
    )
    mlpspec.run_study(small, out / "phase", n_jobs=1)
    return out


def test_answers_are_of_paired_runs_and_of_the_grid(directory):
    analysis = Analysis(directory)
    table, runs = analysis.controls, analysis.results.table
    (row,) = np.flatnonzero((table["question"] == "the error changes") & (table["n_samples"] == 5))
    one, other = (
        where(runs, variant=variant, losses="coverage", n_samples=5)["reconstruction_error"]
        for variant in ("steps-10000", "default")
    )
    assert table["median"][row] == pytest.approx(np.median(one - other))
    (row,) = np.flatnonzero((table["other"] == GRID) & (table["n_samples"] == 5))
    baseline = where(runs, variant="inputs-x1", losses="baseline", n_samples=5)
    x = np.stack([analysis.results.dataset(key)[0][0] for key in baseline["key"]])
    domain = domain_of(analysis.results.runs[baseline["key"][0]])
    null = grid_null(x, 5, domain)["reconstruction_error"]
    assert table["median"][row] == pytest.approx(np.median(baseline["reconstruction_error"] - null))
    assert "controls.csv" not in {path.name for path in directory.iterdir()}


def test_what_has_returned_is_counted_neuron_by_neuron(directory):
    results = Analysis(directory).results
    shares = returned(results, Grid(results.table, ("n_samples", "variant")))
    checked = 0
    for place, share in zip(range(4), shares[5, "steps-10000", "overlap"], strict=True):
        before, after = (
            expelled(forward(results.params(key), *results.dataset(key)))[0]
            for variant in ("default", "steps-10000")
            for key in where(
                results.table, variant=variant, losses="overlap", n_samples=5, seed=place
            )["key"]
        )
        if before.any():
            expected = sum(b and not a for b, a in zip(before, after, strict=True)) / before.sum()
            assert share == pytest.approx(expected)
            checked += 1
        else:
            assert np.isnan(share)
    assert checked
    assert np.nansum(shares[5, "default", "overlap"]) == 0.0


def test_signs_of_the_phase_diagram(directory):
    grid = Grid(Analysis(directory / "phase").results.table, FIELDS)
    table = signs(grid)
    assert len(table["sign"]) == 2 * 2 * 2
    for row in range(len(table["sign"])):
        low, high = table["low"][row], table["high"][row]
        assert table["sign"][row] == (1 if low > 0 else -1 if high < 0 else 0)
    cell = (4, 3000, 0.1, 1.0)
    apart = grid.values(cell, "coverage", "reconstruction_error") - grid.values(
        cell, "baseline", "reconstruction_error"
    )
    mine = where(table, effect="coverage", weight=0.1, temperature=1.0)
    assert mine["median"].tolist() == pytest.approx([np.median(apart)])


def test_signs_count_the_pairs_that_are_known(directory):
    table = Analysis(directory / "phase").results.table
    lost = (table["losses"] == "coverage") & (table["seed"] == table["seed"][0])
    status = np.where(lost, "diverged", table["status"])
    whole, found = (signs(Grid(each, FIELDS)) for each in (table, table | {"status": status}))
    assert (found["seeds"] == whole["seeds"] - 1).all()
    assert "median of 1 paired differences" in figures.caption("phase", found)


@pytest.mark.slow
def test_the_report_has_answers_and_pictures(directory):
    page = Report(directory).write(("svg",)).read_text()
    assert (directory / "controls.csv").exists()
    for name in ("controls", "continuation", "phase"):
        assert f"<h2 id='{name}'>" in page
        assert (directory / "figures" / f"{name}.svg").exists()
    phases = mlpspec.store.tables.read_csv(directory / "figures" / "phase.csv")
    # tau = 0.01 is 0.04 of the squared spacing of four inputs: one cell of each effect.
    assert phases["default"].sum() == 2


@pytest.mark.parametrize(("largest", "end"), [(50.0, "100"), (5000.0, "10\u2074")])
def test_ticks_go_as_far_as_the_axes(largest, end):
    rows = []
    for text, measurement, losses, direction in EFFECTS:
        row = {"question": text, "one": f"{losses} (default)", "other": "baseline (default)"}
        row |= {"measurement": measurement, "n_samples": 10, "pairs": 6, "direction": direction}
        row |= {"median": largest, "low": 1.0, "high": largest, "margin": 1.0, "answer": "yes"}
        rows.append(row)
    ax = figures.draw("controls", as_table(rows)).axes[0]
    words = [label.get_text() for label in ax.get_xticklabels()]
    assert words == [f"\u2212{end}", *words[1:-1], end]
    assert ax.get_xlim()[1] == pytest.approx(1.2 * ax.get_xticks()[-1])
