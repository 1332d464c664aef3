"""Results in notebooks: some of the runs, figures in the user's style, what is shown of them."""

import numpy as np
import pytest
from helpers import ROOT

import mlpspec
from mlpspec.analysis.analysis import Analysis
from mlpspec.errors import InputError
from mlpspec.report import figures
from mlpspec.report.drawing import mpl

PAPER, PLANE = (mlpspec.load(ROOT / "results" / name) for name in ("paper", "hull-2d"))


def test_some_of_the_runs_are_results_of_these():
    some = PAPER.select(losses=["overlap+coverage", "baseline"], n_samples=[10, 20], seed=range(5))
    assert len(some.runs) == len(some.table["key"]) == len(some.status) == 2 * 2 * 5
    assert {run.label for run in some.runs.values()} == {"baseline", "coverage+overlap"}
    assert [len(stack.keys) for stack in some.stacks()] == [10, 10]
    whole, part = (
        {(row[0], row[1], row[2]): row[3] for row in zip(*columns, strict=True)}
        for columns in (
            [results.summary()[name] for name in ("losses", "n_samples", "measurement", "median")]
            for results in (PAPER.select(seed=range(5)), some)
        )
    )
    assert all(whole[place] == value for place, value in part.items() if value == value)
    assert [*Analysis(some).grid.cells] == [(10,), (20,)]
    assert len(some.select(status="ok", dtype="float64").select(key=[*some.runs][:3]).runs) == 3
    assert len(PAPER.runs) == len(PAPER.table["key"]) == 480  # as before


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"n_samples": 4}, "no run has n_samples=4; there are 3, 5, 10"),
        ({"losses": ["coverage", "mine"]}, "no run has losses=mine; there are baseline"),
        ({"n_sample": 3}, "did you mean 'n_samples'"),
        ({"variant": "a"}, "unknown column to choose by 'variant'"),
        ({"start": "placebo"}, "no run has start=placebo; there are start"),
    ],
)
def test_what_no_run_has_is_said(chosen, message):
    with pytest.raises(InputError, match=message):
        PAPER.select(**chosen)


def test_some_of_the_runs_do_not_overwrite_the_files_of_all():
    before = {path.name: path.stat().st_mtime_ns for path in PAPER.directory.iterdir()}
    for write in (lambda some: some.write_tables(), lambda some: some.export("npz")):
        with pytest.raises(InputError, match="of all its runs"):
            write(PAPER.select(n_samples=3))
    assert {path.name: path.stat().st_mtime_ns for path in PAPER.directory.iterdir()} == before


def test_frames_and_arrays_have_the_numbers_of_the_table():
    some = PAPER.select(losses=["baseline", "coverage"], n_samples=[3, 5])
    array = some.to_xarray()
    assert dict(array.sizes) == {"losses": 2, "n_samples": 2, "seed": 10}
    table = some.table
    for row in (0, 17, 39):
        place = {name: table[name][row] for name in array.sizes}
        assert array["usage_ratio"].sel(place) == table["usage_ratio"][row]
    kinds = mlpspec.load(ROOT / "results" / "neuron-kinds").to_xarray()
    assert set(kinds.sizes) == {"losses", "n_samples", "seed", "neuron"}


def test_a_figure_is_drawn_of_some_runs_in_the_style_that_is_set():
    some = PLANE.select(losses=["baseline", "coverage"], n_samples=12, seed=3)
    with mpl.rc_context({"axes.facecolor": "#123456", "text.color": "white", "font.size": 17}):
        figure = some.plot("hull")
        assert figure.axes[0].get_facecolor()[:3] == pytest.approx((18 / 255, 52 / 255, 86 / 255))
        assert [ax.get_title() for ax in figure.axes] == ["baseline", "coverage"]
        assert figures.marks.subset_styles(["baseline"])["baseline"][0] == "#ffffff"
    assert figure._repr_png_()[:4] == b"\x89PNG"
    # That of the report is as it is whatever is set.
    table = figures.FIGURES["hull"].rows(Analysis(some))
    with mpl.rc_context({"axes.facecolor": "#123456"}):
        assert figures.draw("hull", table).axes[0].get_facecolor()[:3] == (1, 1, 1)


def test_a_figure_of_one_panel_is_drawn_where_it_is_told():
    sheet = mpl.figure.Figure()
    left, right = sheet.subplots(1, 2)
    assert PLANE.select(losses="coverage").plot("hull", ax=left) is sheet
    assert left.lines
    assert not right.lines
    assert left.get_legend() is not None
    with pytest.raises(InputError, match="8 panels of these runs, and ax is one"):
        PLANE.plot("hull", ax=right)
    with figures.onto(right), pytest.raises(InputError, match="leave ax out"):
        figures.base.canvas((1.0, 1.0))
    assert PLANE.select(losses="overlap").plot("hull") is not sheet  # `ax` counts once


@pytest.mark.parametrize(
    ("name", "message"),
    [("hul", "did you mean 'hull'"), ("hull", "cannot be drawn of these runs; what can: ")],
)
def test_figures_that_cannot_be_drawn_are_named(name, message):
    with pytest.raises(InputError, match=message):
        PAPER.select(n_samples=3, losses="baseline", seed=[0, 1]).plot(name)


def test_notebooks_show_what_it_is():
    shown = PAPER.select(losses=["baseline", "coverage"])._repr_html_()
    assert "120 runs in some of" in shown
    assert "<td>coverage</td><td>100</td>" in shown
    medians = PAPER.select(losses="coverage", n_samples=10).table["usage_ratio"]
    assert f"<td>{np.median(medians):.3g}</td>" in shown
    study = mlpspec.Study("mine", {"seed": (0, 1)}, {"weight": 0.5}, question="Is a < b?")
    assert "Is a &lt; b?" in study._repr_html_()
    assert "<td>weight</td><td>0.5</td>" in study.runs[0]._repr_html_()
    assert "none: not a study of the grid" in PLANE.verdicts()._repr_html_()


@pytest.mark.slow
def test_notebooks_show_the_verdicts():
    verdicts = PAPER.verdicts()
    assert [v.claim for v in verdicts] == [v.claim for v in Analysis(PAPER).verdicts]
    assert verdicts._repr_html_().count("<tr>") == len(verdicts) + 1
