"""Analysis, figures and the page of one small study, as the command line makes them."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from helpers import ROOT, browse, in_a_browser
from matplotlib.text import Text

import mlpspec
from mlpspec.analysis.analysis import Analysis, read_verdicts
from mlpspec.analysis.comparisons import as_table
from mlpspec.cli import command as cli
from mlpspec.metrics.measure import MEASUREMENTS, measure_places
from mlpspec.report import figures, report
from mlpspec.report.figures import contrast, effect, expulsion, outcomes, sweep
from mlpspec.report.figures.over_sizes import over_sizes
from mlpspec.report.report import Report
from mlpspec.store.store import Store
from mlpspec.store.tables import write_csv

ASKED = ["run", "--seeds", "0:3", "--sizes", "3,5,10", "--set", "steps=60", "--jobs", "1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A results directory as `mlpspec run` leaves it, and what it printed."""
    out = tmp_path_factory.mktemp("report") / "paper"
    import contextlib
    import io

    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(io.StringIO()):
        assert cli.main([*ASKED, "--out", str(out)]) == 0
    return out, told.getvalue()


@pytest.fixture(scope="module")
def analysis(made):
    return Analysis(made[0])


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_plain_run_ends_with_verdicts_and_report(made):
    out, told = made
    lines = told.splitlines()
    assert lines[0].startswith("paper: trained 72 runs")
    assert [line.split(":")[0] for line in lines[1:4]] == ["tau-sweep", "placebo", "trajectories"]
    claims = ["C1", "C1b", *(f"C{n}" for n in range(2, 9))]
    assert [line.split()[0] for line in lines[5:14]] == claims
    assert "run confirm --out DIR/confirm" in lines[14]
    assert lines[-2] == f"explorer: {out / 'explore.html'}"
    assert lines[-1] == f"report: {out / 'report.html'}"
    assert len(rows_of(out / "runs.csv")) == 72
    stated = [r for r in rows_of(out / "claims.csv") if r["basis"] == "stated, means"]
    assert len(stated) == 9
    assert "untested" not in {row["verdict"] for row in stated}


def test_a_second_run_changes_nothing(made, capsys):
    out = made[0]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert cli.main([*ASKED, "--out", str(out)]) == 0
    assert capsys.readouterr().out.count("nothing to train") == 4
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.mark.slow
def test_report_makes_the_same_bytes_again(made, tmp_path, capsys):
    out = made[0]
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    for path in [*copy.glob("*.csv"), *copy.glob("*.html"), *copy.glob("figures/*")]:
        path.unlink()
    assert cli.main(["report", str(copy)]) == 0
    for path in out.rglob("*"):
        if path.is_file() and path.name != ".lock":
            assert (copy / path.relative_to(out)).read_bytes() == path.read_bytes(), path


def test_every_figure_is_there_with_its_numbers(made):
    folder = made[0] / "figures"
    names = {path.stem for path in folder.iterdir()}
    assert names == {*figures.FIGURES} - {
        "hull",
        "subsets",
        "contrast",
        "attraction",
        "specification",
        "survival",
        "controls",
        "continuation",
        "phase",
        "compression",
        "monosemanticity",
        "scores",
    }
    for name in names:
        assert (folder / f"{name}.svg").read_text().startswith("<?xml")
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert len(rows_of(folder / f"{name}.csv")) > 8
    assert (folder / "trajectories.gif").read_bytes().startswith(b"GIF89a")


def test_verify(made, analysis, capsys, tmp_path):
    out = made[0]
    status = cli.main(["verify", str(out)])
    told = capsys.readouterr().out
    stated = [v for v in analysis.verdicts if v.basis == "stated, means"]
    assert status == (0 if {v.verdict for v in stated} == {"holds"} else 1)
    assert all(v.verdict in told for v in stated)
    # Without the sweep two stated claims are untested, which is status 1.
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(out / "study.sqlite", bare)
    assert cli.main(["verify", str(bare)]) == 1
    assert "untested" in capsys.readouterr().out


@pytest.mark.parametrize("verdict", ["holds", "fails", "mixed", "untested"])
def test_verify_exits_as_the_stated_verdicts_say(made, analysis, monkeypatch, verdict):
    import dataclasses

    given = [
        dataclasses.replace(v, verdict=verdict if v.claim == "C4" else "holds")
        for v in analysis.verdicts
    ]
    monkeypatch.setattr(Analysis, "verdicts", given)
    assert cli.main(["verify", str(made[0])]) == (0 if verdict == "holds" else 1)


def test_verdicts_read_back(analysis, tmp_path):
    write_csv(tmp_path / "claims.csv", analysis.claims_table())
    for a, b in zip(read_verdicts(tmp_path / "claims.csv"), analysis.verdicts, strict=True):
        assert str(a) == str(b)
    (tmp_path / "claims.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="is not a table of verdicts"):
        read_verdicts(tmp_path / "claims.csv")


def test_nulls_are_those_of_the_data(analysis):
    nulls = analysis.nulls_table
    assert set(nulls["null"]) == {"grid", "random", "start", "placebo", "other"}
    grid = (nulls["null"] == "grid") & (nulls["n_samples"] == 5)
    (row,) = np.flatnonzero(grid & (nulls["measurement"] == "reconstruction_error"))
    keys = [k for k, run in analysis.results.runs.items() if run.n_samples == 5 and not run.losses]
    spaced = np.array([[-0.8], [-0.4], [0.0], [0.4], [0.8]])[None]
    scores = [
        measure_places(analysis.results.dataset(k)[0], spaced, width=2.0)["reconstruction_error"]
        for k in keys
    ]
    assert nulls["median"][row] == pytest.approx(np.median(scores))


def test_untrained_start_is_what_training_began_with(analysis):
    key = next(k for k, run in analysis.results.runs.items() if not run.losses)
    run = analysis.results.runs[key]
    study = mlpspec.Study("s", {"seed": (run.seed,)}, {"n_samples": run.n_samples, "steps": 0})
    from mlpspec.running.worker import train_batch

    (record,) = train_batch(study.runs)
    found = analysis.problems[run.n_samples,].nulls["start"]["fit_mse"][0]
    assert found == pytest.approx(record.measurements["fit_mse"])


def test_critical_temperature_by_hand(analysis):
    key = next(k for k, run in analysis.results.runs.items() if run.n_samples == 10)
    x = analysis.results.dataset(key)[0][0, :, 0]
    assert analysis.problems[10,].critical[0] == pytest.approx(2 * ((x - x.mean()) ** 2).mean())


def test_plotted_medians_are_those_of_the_runs(analysis):
    plotted = over_sizes(analysis, ["usage_ratio"], analysis.grid)
    table = analysis.results.table
    medians = np.flatnonzero(plotted["kind"] == "median")
    assert len(medians) == 24
    for row in medians:
        own = (table["losses"] == plotted["losses"][row]) & (
            table["n_samples"] == plotted["n_samples"][row]
        )
        assert plotted["value"][row] == np.median(table["usage_ratio"][own])


@pytest.mark.slow
def test_hull_figure_and_report_in_the_plane(tmp_path):
    study = mlpspec.studies.hull_2d().replace(seed=(0,), n_samples=(5,), steps=20)
    mlpspec.run_study(study, tmp_path, n_jobs=1)
    page = Report(tmp_path).write(("png", "pdf"))
    assert (tmp_path / "figures" / "hull.png").exists()
    assert (tmp_path / "figures" / "hull.pdf").read_bytes().startswith(b"%PDF")
    table = figures.FIGURES["hull"].rows(Analysis(tmp_path))
    assert (table["kind"] == "neuron").sum() == 8 * 5
    assert "hull" in page.read_text()


@pytest.mark.slow
def test_report_of_a_confirmation_and_of_its_parent(made, tmp_path):
    out = tmp_path / "paper"
    shutil.copytree(made[0], out)
    study = mlpspec.studies.confirm().replace(
        seed=range(100, 103), n_samples=(3, 5), steps=(20, 40)
    )
    mlpspec.run_study(study, out / "confirm", n_jobs=1)
    fresh = {"seed": range(100, 103), "n_samples": (3, 5), "steps": 20}
    sweep = mlpspec.studies.companion("tau-sweep", fresh)
    mlpspec.run_study(sweep, out / "confirm" / "tau-sweep", n_jobs=1)
    Report(out / "confirm").write(("png",))
    names = {path.stem for path in (out / "confirm" / "figures").iterdir()}
    assert {"outcomes-after-20-steps", "expulsion-after-40-steps"} <= names
    with_store = Analysis(out).verdicts
    assert "untested" not in {v.verdict for v in with_store}
    # The store is large; without it the confirmation's tables serve as well.
    (out / "confirm" / "study.sqlite").unlink()
    assert list(map(str, Analysis(out).verdicts)) == list(map(str, with_store))
    # Tables of an older version know fewer claims.
    claims = out / "confirm" / "claims.csv"
    lines = claims.read_text().splitlines(keepends=True)
    claims.write_text("".join(line for line in lines if not line.startswith("C1b")))
    untested = [v for v in Analysis(out).verdicts if v.verdict == "untested"]
    assert [(v.claim, v.basis) for v in untested] == [("C1b", "calibrated")]


def test_a_store_without_a_run_has_no_report(tmp_path, capsys):
    """As a disk leaves it that was full when the first runs came."""
    Store.create(tmp_path, mlpspec.studies.paper()).close()
    assert cli.main(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith("holds no run yet; run the study again\n")
    assert [path.name for path in tmp_path.iterdir()] == ["study.sqlite"]


def test_report_of_a_study_without_finished_runs(tmp_path, monkeypatch):
    from mlpspec.running import worker

    def faulty(*_):
        raise ArithmeticError("<script>alert(1)</script>")

    monkeypatch.setattr(worker, "_train_together", faulty)
    study = mlpspec.studies.paper().replace(seed=(0,), n_samples=(3,), steps=1)
    mlpspec.run_study(study, tmp_path, n_jobs=1)
    page = Report(tmp_path).write().read_text()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


def test_page_stands_alone(made):
    page = (made[0] / "report.html").read_text()
    assert len(page) < 5_000_000
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)[^\"']*//", page.replace("xlink:href", ""))
    drawn = {path.stem for path in (made[0] / "figures").glob("*.svg")}
    shown = len(drawn - {"verdicts"})  # which the page has as a table
    assert page.count("<figcaption>") == page.count("<figure>") == shown > 6
    assert page.count("role='img' aria-label='") == shown
    ids = re.findall(r"<h2 id='([^']+)'", page)
    assert ids[0] == "verdicts"
    assert len(set(ids)) == len(ids)
    assert (made[0] / "explore.html").stat().st_size < 4_000_000
    assert "href='explore.html'" in page
    for needed in ("comparisons", "trouble", "provenance", "cite"):
        assert needed in ids
    assert "numpy" in mlpspec.load(made[0]).sessions[0]["packages"]
    assert "&quot;numpy&quot;: " in page
    assert "&quot;packages&quot;" not in page  # which are many, and in provenance.json


PROBE = """
<script>
addEventListener("load", () => {
  const table = document.querySelector("table.sortable");
  const heads = [...table.tHead.rows[0].cells];
  const column = heads.findIndex(head => head.textContent.trim() === "p");
  const read = () => [...table.tBodies[0].rows].map(row => Number(row.cells[column].textContent));
  const click = () => heads[column].querySelector("button").click();
  const count = table.tBodies[0].rows.length;
  click(); const up = read(); click(); const down = read();
  const place = document.createElement("pre");
  place.id = "probe";
  place.textContent = JSON.stringify({
    errors: window.failures, up, down, count,
    wide: document.documentElement.scrollWidth, window: document.documentElement.clientWidth,
    contrast: getComputedStyle(document.body).color,
  });
  document.body.append(place);
});
</script></body>"""


@in_a_browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [500, 1440])
def test_page_in_a_real_browser(made, tmp_path, width):
    page = (made[0] / "report.html").read_text()
    watch = "<head><script>window.failures=[];onerror=m=>{failures.push(m)}</script>"
    probed = page.replace("<head>", watch, 1).replace("</body>", PROBE, 1)
    (tmp_path / "page.html").write_text(probed)
    done = browse(tmp_path / "page.html", "--enable-logging=stderr", f"--window-size={width},900")
    found = json.loads(re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S).group(1))
    assert found["errors"] == []
    assert ":CONSOLE" not in done.stderr
    assert found["up"] == sorted(found["up"])
    assert found["down"] == sorted(found["up"], reverse=True)
    assert found["count"] == len(found["up"]) > 100
    assert found["wide"] <= found["window"]


@in_a_browser
def test_page_on_a_phone(made, tmp_path):
    """In a frame 375 pixels wide nothing but what scrolls by itself is wider than the frame.

    The columns of figures are stacked, each as wide as there is room, with text that can be read.
    """
    shutil.copy(made[0] / "report.html", tmp_path / "page.html")
    (tmp_path / "phone.html").write_text(
        "<!doctype html><iframe src='page.html' width='375' height='800' "
        "style='border:0'></iframe><script>addEventListener('load', () => {"
        "const root = frames[0].document.documentElement;"
        "const text = [...root.querySelectorAll('.narrow svg')].map(svg =>"
        " svg.getBBox().width && 8 * svg.clientWidth / svg.viewBox.baseVal.width);"
        "document.title = JSON.stringify([root.scrollWidth, root.clientWidth, text])})</script>"
    )
    done = browse(tmp_path / "phone.html", "--allow-file-access-from-files")
    scroll, client, sizes = json.loads(re.search("<title>(.*?)</title>", done.stdout).group(1))
    assert 355 <= client <= 375  # less the scroll bar
    assert scroll <= client
    assert len(sizes) > 40  # of text of eight points, in pixels; 0 where nothing is shown
    assert 7.5 < min(sizes) <= max(sizes) < 13


def test_columns_of_figures_show_what_is_there(made):
    page = (made[0] / "report.html").read_text()
    shown = re.findall(r"<use href='#([^']+)'", page)
    assert len({*shown}) > 60
    for name in shown:
        assert page.count(f'<g id="{name}">') == 1
    lines = re.findall("outcomes-panel-([0-9]+)", "".join(f"{name} " for name in shown))
    assert lines == [str(number) for number in range(6)]  # as they are read, line by line
    across = [name for name in shown if name.startswith("reconstruction-across")]
    assert across == [f"reconstruction-across-{number}" for number in (4, 5, 6, 7)]


def test_a_legend_is_no_wider_than_its_figure():
    figure, _ = figures.marks.grid_of_axes(1, 1, (4.0, 2.0))
    names = ("input", "prototype and circle of response 1/e", "of an expelled neuron")
    figures.marks.legend_below(figure, [figures.marks.entry(name) for name in names])
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_numbers_and_names_on_a_page_are_shown_as_they_are():
    page = report.page("{{body}}", ["<p>{{title}}</p>"])
    assert "<title>{{body}} \u2013 mlpspec</title>" in page
    assert page.count("<p>") == page.count("<p>{{title}}</p>") == 1
    cells = report.html_table(as_table([{"a_b+c": "a_b+c", "value": 999.7}]), sortable=False)
    assert "<td>a_b+c</td><td class='number'>1000</td>" in cells


def test_what_a_comparison_can_reach_is_explained_above_the_table(made):
    section = (made[0] / "report.html").read_text().partition("id='comparisons'")[2]
    above, _, table = section.partition("<table")
    assert ">can reach</button>" in table.partition("</thead>")[0]
    assert "Can reach: no where even differences of one sign in all seeds would not" in above


def test_the_names_in_a_table_can_be_broken(made):
    page = (made[0] / "report.html").read_text()
    assert "<td>coverage + overlap</td>" in page
    assert (
        "coverage+overlap" not in page.partition("id='comparisons'")[2].partition("id='trouble'")[0]
    )


def test_nulls_of_several_widths_and_data_sets(tmp_path):
    """Each K and each data set is held against prototypes of its own number, on its own data."""
    study = mlpspec.Study(
        "own",
        {"n_hidden": (2, 4), "dataset": ("uniform", "grid(jitter=0.2)"), "seed": range(4)},
        {"n_samples": 4, "steps": 3, "shift": 10.0},
    )
    mlpspec.run_study(study, tmp_path, n_jobs=1)
    analysis = Analysis(tmp_path)
    assert analysis.problem_fields == ("n_samples", "n_hidden", "dataset")
    assert len(analysis.problems) == 4
    nulls = analysis.nulls_table
    for (_, n_hidden, dataset), own in analysis.problems.items():
        assert (own.x > 8.9).all()
        keys = [
            key
            for key, run in analysis.results.runs.items()
            if run.n_hidden == n_hidden and run.dataset == dataset
        ]
        x = np.concatenate([analysis.results.dataset(key)[0] for key in keys])
        np.testing.assert_array_equal(own.x, x)
        spaced = {2: [9.5, 10.5], 4: [9.25, 9.75, 10.25, 10.75]}[n_hidden]
        places = np.tile(np.reshape(spaced, (1, -1, 1)), (4, 1, 1))
        expected = measure_places(x, places, width=2.0)["nearest_error"]
        (row,) = np.flatnonzero(
            (nulls["null"] == "grid")
            & (nulls["n_hidden"] == n_hidden)
            & (nulls["dataset"] == dataset)
            & (nulls["measurement"] == "nearest_error")
        )
        assert nulls["median"][row] == pytest.approx(np.median(expected))
    assert {*nulls["null"]} == {"grid", "random", "start", "other"}
    summary = analysis.results.summary()
    assert set(summary["runs"]) == {4}
    assert {"n_hidden", "dataset"} < set(summary)


@pytest.mark.parametrize("neuron", ["ridge", "radial"])
def test_hull_above_two_dimensions_is_a_projection(tmp_path, neuron):
    study = mlpspec.Study(
        "s",
        {"losses": ("baseline", "overlap"), "seed": (0,)},
        {"n_inputs": 4, "n_samples": 12, "steps": 3, "neuron": neuron, "shift": -3.0},
    )
    mlpspec.run_study(study, tmp_path, n_jobs=1)
    analysis = Analysis(tmp_path)
    table = figures.tables(analysis)["hull"]
    mine = table["losses"] == "baseline"
    shown = np.stack([table["x"], table["y"]], axis=1)[mine & (table["kind"] == "input")]
    x = next(iter(analysis.problems.values())).x[0]
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    np.testing.assert_allclose(np.cov(shown.T, bias=True), np.diag(eigenvalues[:2]), atol=1e-12)
    np.testing.assert_allclose(shown.mean(axis=0), 0.0, atol=1e-12)
    assert (table["dx"] == 0).all()
    assert (table["radius"][table["kind"] == "neuron"] > 0).all() == (neuron == "radial")
    caption = figures.caption("hull", table)
    assert caption.startswith("Inputs in 4 dimensions with their convex hull (seed 0, N = 12) and")
    assert "in projection onto the first two principal axes" in caption
    figure = figures.draw("hull", table)
    assert figure.axes[0].get_xlabel() == "principal axis 1"
    left, right = figure.axes[0].get_xlim()
    assert left < shown[:, 0].min()
    assert shown[:, 0].max() < right
    words = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert "prototype and ridge" not in words


def test_hull_of_inputs_on_a_line_in_the_plane(tmp_path):
    path = tmp_path / "line.csv"
    path.write_text("a,b\n" + "".join(f"{i},{2 * i}\n" for i in range(9)))
    study = mlpspec.Study(
        "s",
        {"seed": (0,)},
        {"dataset": f"file:{path}", "columns": "a,b", "n_samples": 5, "steps": 3},
    )
    mlpspec.run_study(study, tmp_path / "out", n_jobs=1)
    table = figures.tables(Analysis(tmp_path / "out"))["hull"]
    (edge, *_) = figures.draw("hull", table).axes[0].lines
    x = table["x"][table["kind"] == "input"]
    assert {*edge.get_xdata()} == {x.min(), x.max()}


def test_every_file_of_a_figure_is_listed_and_says_all():
    folder = Path(figures.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "base", "marks", "powers"}
    assert files - {"over_sizes"} == {*figures.PAGE, *figures.CARD}
    assert set(figures.FIGURES) == set(figures.PAGE)
    shown = (*outcomes.OUTCOMES, *expulsion.EXPULSION, *sweep.SWEPT, *contrast.CONTRASTED)
    assert set(shown) | set(effect.SHOWN) | set(report.SHOWN) <= set(MEASUREMENTS)


def test_matplotlib_waits_until_figures_are_drawn():
    code = "import sys, mlpspec.report.report, mlpspec.report.card_report; "
    code += "print('matplotlib' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "False\n"


def test_report_of_single_precision(tmp_path):
    study = mlpspec.Study("s", {"seed": (0,)}, {"dtype": "float32", "n_samples": 3, "steps": 3})
    mlpspec.run_study(study, tmp_path, n_jobs=1)
    table = figures.tables(Analysis(tmp_path))["responses"]
    assert 0.0 < table["y"][table["kind"] == "response"].max() <= 1.0


@pytest.mark.slow
def test_figures_are_the_same_whatever_the_caller_has_set(analysis):
    def drawn():
        table = figures.tables(analysis)["outcomes"]
        canvas = figures.draw("outcomes", table)
        return [figures.render("outcomes", canvas, suffix) for suffix in ("svg", "png")]

    before = drawn()
    dark = {"axes.facecolor": "black", "savefig.facecolor": "black", "lines.linewidth": 9.0}
    with mpl.rc_context({"text.usetex": True, "font.size": 30.0, "svg.fonttype": "none", **dark}):
        settings = dict(mpl.rcParams)
        assert drawn() == before
        assert dict(mpl.rcParams) == settings


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", "nonsense", "svg"]
)
def test_figures_need_no_backend(tmp_path, backend):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nbackend: TkAgg\n")
    code = "import os; from mlpspec.report import figures; import matplotlib as mpl; "
    code += "print(os.environ['MPLBACKEND'], dict.get(mpl.rcParams, 'backend'))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": backend}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stderr == ""
    left, taken = done.stdout.split()  # for others who draw in this process
    assert left == backend
    assert taken.lower() in (backend, "tkagg")
    assert taken == "svg" or backend != "svg"


@pytest.mark.slow
def test_no_text_of_a_figure_is_a_formula(analysis):
    for name, table in figures.tables(analysis).items():
        texts = figures.draw(name, table).findobj(Text)
        texts = [text for text in texts if text.get_text()]
        assert texts
        assert not any(text.get_parse_math() or "$" in text.get_text() for text in texts), name


ODD_NAMES = ("price ($)", "$x$ $", "a_b^2", "a b^2", r"\frac{1", "100 % & <script>", "\u65e5\u672c")


def test_names_of_columns_are_shown_as_they_are(tmp_path):
    file = tmp_path / "$t_1.csv"
    rng = np.random.default_rng(0)
    write_csv(file, {name: rng.random(8) for name in ODD_NAMES})
    study = mlpspec.Study(
        "odd",
        {"losses": ((),), "columns": [(name,) for name in ODD_NAMES[1:]], "seed": (0, 1)},
        {"dataset": f"file:{file}", "target": f"column:{ODD_NAMES[0]}", "n_samples": 5, "steps": 2},
    )
    mlpspec.run_study(study, tmp_path / "out", n_jobs=1)
    table = figures.tables(Analysis(tmp_path / "out"))["contrast"]
    entries = figures.draw("contrast", table).legends[0].get_texts()
    assert {entry.get_text() for entry in entries} == {f"columns {name}" for name in ODD_NAMES[1:]}
    page = Report(tmp_path / "out").write().read_text(encoding="utf-8")
    assert "100 % &amp; &lt;script&gt;" in page
    assert page.count("<script>") == 1  # the page's own
