"""The explorer: what the page holds, and what a browser makes of it."""

import base64
import json
import re

import numpy as np
import pytest
from helpers import browse, in_a_browser, same_bits
from scipy.spatial.distance import pdist

import mlpspec
from mlpspec.metrics.hull import expelled
from mlpspec.network.forward import forward
from mlpspec.report import explorer

LOSSES = ("baseline", "coverage", "separation", "overlap")


def study(name="explored", question="", axes=None, **settings):
    axes = {"losses": LOSSES, "n_samples": (5, 8), "seed": range(3), **(axes or {})}
    return mlpspec.Study(name, axes, {"steps": 40, "record": "log", **settings}, question)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return mlpspec.run_study(study(), tmp_path_factory.mktemp("explored") / "r", n_jobs=1)


def decoded(text, kind):
    return np.frombuffer(base64.b64decode(text), kind)


def cells(told, name):
    """A column of the runs that a page shows."""
    return [run["cells"][told["columns"].index(name)] for run in told["shown"]]


def size_of(told):
    return sum(len(explorer._json(each)) for each in told["shown"] + told["shared"])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"neuron": "ridge(epsilon=0.01)"},
        {"neuron": "radial", "n_inputs": 2, "n_hidden": 6},
        {"shift": 2.0},
    ],
)
def test_the_page_holds_what_is_stored(settings, tmp_path):
    """Final parameters in full; prototypes on the way to the accuracy that the page states."""
    axes = {"losses": ("baseline", "overlap"), "n_samples": (5, 8), "seed": (0, 1)}
    results = mlpspec.run_study(study(axes=axes, **settings), tmp_path, n_jobs=1)
    told = explorer.content(results)
    assert cells(told, "key") == results.table["key"].tolist()
    assert len(told["shared"]) == 4 + 2  # data of two sizes and seeds; the neuron; the steps
    for row, (key, held) in enumerate(zip(results.table["key"], told["shown"], strict=True)):
        run, params, curve = results.runs[key], results.params(key), results.curve(key)
        (x, y), data = results.dataset(key), told["shared"][held["data"]]
        k, d = run.hidden_units, run.n_inputs
        assert held["k"] == k
        kind = {"neuron": run.neuron.partition("(")[0], "epsilon": type(params).EPSILON}
        assert told["shared"][held["neuron"]] == kind
        assert same_bits(np.reshape(data["x"], x.shape), x)
        assert same_bits(np.array(data["y"]), y[0])
        assert same_bits(decoded(held["params"], "<f8"), params.flatten()[0])
        steps = told["shared"][held["steps"]]
        assert steps == curve.steps.tolist()
        assert {*held["terms"]} == {*curve.values}
        for name, text in held["terms"].items():
            np.testing.assert_allclose(decoded(text, "<f4"), curve.values[name], rtol=1e-7)
        v = decoded(held["rounded"], "<i2").reshape(len(steps), k, d) / told["frame_steps"]
        p, reach = curve.params.prototypes, data["reach"]
        assert reach == np.ptp(x[0], axis=0).max()
        assert data["tolerance"] == pytest.approx(1e-3 * np.max(pdist(x[0])))
        assert {*map(tuple, data["hull"])} <= {*map(tuple, x[0].tolist())}
        near = (np.abs(p - data["middle"]) < reach).all(axis=2)
        assert near.mean() > 0.5
        found = data["middle"] + reach * v / (1 - np.abs(v))
        assert np.abs(found - p)[near].max() < reach / 16_000
        matched = decoded(held["matched"], "<i2")
        assert (matched >= 0).sum() == min(run.n_samples, k)
        apart = np.linalg.norm(x[0] - p[-1][matched], axis=1)[matched >= 0]
        assert apart.mean() == pytest.approx(results.table["reconstruction_error"][row])
        left = decoded(held["expelled"], "u1")
        assert (left == expelled(forward(params, x, y))[0]).all()


def test_far_places_and_what_is_not_finite_are_kept_as_well_as_they_can_be():
    p = np.array([[[0.3], [-40.0], [1e300], [-np.inf], [np.nan]]])
    q = explorer.rounded(p, np.array([0.5]), 2.0)[0, :, 0]
    v = q[:2] / explorer.STEPS
    np.testing.assert_allclose(0.5 + 2.0 * v / (1 - np.abs(v)), [0.3, -40.0], rtol=2e-3)
    assert q[2:].tolist() == [32766, -32768, -32768]


def test_what_is_shown_first_follows_the_rule():
    """At the N nearest 20: overlap has the larger median, 0.4, and seed 2 has it."""
    rows = [
        (label, n, seed, value)
        for n, values in (
            (5, {"coverage": (0, 0, 0), "separation": (1, 1, 1), "overlap": (1, 1, 1)}),
            (18, {"coverage": (0.1, 0, 0), "separation": (0, 0.3, 0.9), "overlap": (1, 0, 0.4)}),
        )
        for label, of_seeds in values.items()
        for seed, value in enumerate(of_seeds)
    ]
    labels, sizes, seeds, values = (np.array(column) for column in zip(*rows, strict=True))
    table = {"losses": labels, "n_samples": sizes, "n_hidden": sizes, "seed": seeds}
    table["status"] = np.full(len(rows), "ok")
    table |= {"expelled_fraction": values, "key": np.array([f"k{i}" for i in range(len(rows))])}
    first = explorer._first(table, np.arange(len(rows)))
    assert rows[int(first["a"][1:])] == ("overlap", 18, 2, 0.4)
    assert rows[int(first["b"][1:])] == ("coverage", 18, 2, 0)
    assert "N = 18, of separation and overlap alone" in first["rule"]
    assert "0.4 in the median of 3 seeds" in first["rule"]
    alone = np.flatnonzero(labels == "overlap")
    assert explorer._first(table, alone) == {"a": f"k{alone[0]}"}


@pytest.fixture(scope="module")
def continued(results, tmp_path_factory):
    """Runs that start where those of the baseline ended, each from the one of its N and seed."""
    asked = study().replace(start=results.select(losses="baseline").ends())
    return mlpspec.run_study(asked, tmp_path_factory.mktemp("continued") / "r", n_jobs=1)


def test_a_start_for_each_seed_tells_no_runs_apart(continued):
    """Neither in the explorer, which pairs them over seeds, nor as a dimension of arrays."""
    told = explorer.content(continued)
    assert told["fields"] == ("n_samples",)
    assert "in the median of 3 seeds" in told["first"]["rule"]
    array = continued.to_xarray()["fit_mse"]
    assert array.dims == ("losses", "n_samples", "seed")
    assert np.isfinite(array).all()


def test_whole_networks_are_shown_first(tmp_path, monkeypatch):
    levels = ("none", "prune_random(keep=0.1)", "quantise(bits=2)")
    asked = study(axes={"compress": levels, "losses": ("coverage", "overlap")})
    results = mlpspec.run_study(asked, tmp_path, n_jobs=1)
    pruned = results.table["compress"] == levels[1]
    striking = pruned & (results.table["losses"] == "overlap")
    table = results.table | {"expelled_fraction": striking.astype(float)}
    first = explorer._first(table, np.arange(36))
    shown = np.isin(table["key"], (first["a"], first["b"]))
    assert table["compress"][shown].tolist() == ["none", "none"]
    assert "compress = none, " in first["rule"]
    first = explorer._first(table, np.flatnonzero(pruned))
    assert first["a"] in table["key"][striking]
    # Where not all have a place, compressed ones of later seeds are left out.
    monkeypatch.setattr(explorer, "MOST_BYTES", size_of(explorer.content(results)) * 2 // 3)
    compress = cells(explorer.content(results), "compress")
    assert compress.count("none") == 12
    assert 12 < len(compress) < 36


def test_a_page_of_too_many_runs_shows_those_of_the_first_seeds(results, monkeypatch):
    seeds = results.table["seed"]
    whole = explorer.content(results)
    size = size_of(whole)
    monkeypatch.setattr(explorer, "MOST_BYTES", size)
    assert explorer.content(results) == whole
    monkeypatch.setattr(explorer, "MOST_BYTES", size - 1)
    assert len(explorer.content(results)["shown"]) == 23
    monkeypatch.setattr(explorer, "MOST_BYTES", size // 2)
    told = explorer.content(results)
    assert told["runs"] == len(seeds) == 24
    assert 8 <= len(told["shown"]) < 24
    assert cells(told, "seed").count(0) == 8
    assert 2 not in cells(told, "seed")
    monkeypatch.setattr(explorer, "MOST_BYTES", 0)
    assert explorer.content(results)["shown"] == []


def test_runs_that_failed_or_were_not_recorded(tmp_path, monkeypatch):
    from mlpspec.running import worker

    original = worker._train_together

    def faulty(batch, *rest):
        if any(run.seed == 1 for run in batch):
            raise ArithmeticError("no")
        return original(batch, *rest)

    monkeypatch.setattr(worker, "_train_together", faulty)
    results = mlpspec.run_study(study(axes={"seed": (0, 1)}, record="every"), tmp_path, n_jobs=1)
    told = explorer.content(results)
    assert (told["runs"], told["failed"], len(told["shown"])) == (16, 8, 8)
    assert not any({"steps", "rounded", "terms"} & held.keys() for held in told["shown"])


def test_the_page_stands_alone_whatever_is_named(tmp_path):
    name = "</script><script>alert(1)</script>{{data}}"
    results = mlpspec.run_study(study(question=name), tmp_path, n_jobs=1)
    page = explorer.page(results)
    assert page.count("<script") == page.count("</script>") == 2
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", page)
    assert not re.findall(r"https?://(?!www\.w3\.org/)", page)
    assert json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])["question"] == name
    assert len(page) < 4_000_000


def probed(results, tmp_path, script):
    """What a script in the page finds, as its last statement puts it into ``found``."""
    page = explorer.page(results)
    watch = "<head><script>window.failures=[];onerror=m=>{failures.push(m)}</script>"
    probe = f"<script>(async () => {{ const found = {{}}; {script}; found.errors = failures; "
    probe += "const pre = document.createElement('pre'); pre.id = 'probe'; "
    probe += "pre.textContent = JSON.stringify(found); document.body.append(pre); })()</script>"
    page = page.replace("<head>", watch, 1).replace("</body>", f"{probe}</body>", 1)
    (tmp_path / "page.html").write_text(page)
    options = ("--enable-logging=stderr", "--window-size=1440,900")
    done = browse(tmp_path / "page.html", *options, budget=30_000)
    assert ":CONSOLE" not in done.stderr
    found = json.loads(re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)[1])
    assert found.pop("errors") == []
    return found


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize("n_inputs", [1, 2])
def test_responses_in_a_browser_are_those_of_python(n_inputs, tmp_path):
    """Twenty random runs, ten on a line and ten in the plane: to 1e-6, and the same hull."""
    rng = np.random.default_rng(n_inputs)
    axes = {
        "losses": LOSSES[:: n_inputs or 1],
        "n_samples": (4, 12),
        "n_hidden": (3, 9, 14),
        "neuron": ("ridge", "radial", "ridge(epsilon=0.01)"),
        "seed": rng.integers(1000, size=2).tolist(),
    }
    asked = study(axes=axes, n_inputs=n_inputs, steps=300, shift=0.5)
    results = mlpspec.run_study(asked, tmp_path / "r", n_jobs=1)
    keys = rng.choice(results.table["key"], 10, replace=False).tolist()
    points = rng.uniform(-3.0, 3.0, (10, 40, n_inputs))
    script = f"""
    const points = {json.dumps(points.reshape(10, -1).tolist())};
    found.all = {json.dumps(keys)}.map((key, i) => {{
      const run = BY_KEY.get(key), {{ h, f }} = respond(run, Float64Array.from(points[i]));
      return {{ h: [...h], f: [...f], p: [...prototypes(run)],
               out: sum(outside(run, run.steps.length - 1)) }};
    }})"""
    found = probed(results, tmp_path, script)["all"]
    kinds = set()
    for key, at, got in zip(keys, points, found, strict=True):
        net = forward(results.params(key), at[None], np.zeros((1, 40)))
        np.testing.assert_allclose(np.reshape(got["h"], net.hidden.shape), net.hidden, atol=1e-6)
        np.testing.assert_allclose(got["f"], net.output[0], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(got["p"], net.prototypes.ravel(), rtol=1e-9)
        row = results.table["key"].tolist().index(key)
        outside = results.table["outside_fraction"][row] * results.runs[key].hidden_units
        assert got["out"] == pytest.approx(outside)
        kinds.add(results.runs[key].neuron)
    assert kinds == {*axes["neuron"]}


TOUR = """
const rest = () => new Promise(done => setTimeout(done, 300));
const press = key => document.body.dispatchEvent(
  new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const seen = () => document.querySelector("main").innerText;
found.first = seen().split("\\n")[0];
found.wide = document.documentElement.scrollWidth <= innerWidth;
const kept = [];
const keep = async () => { await rest(); kept.push([location.hash, picture(), told.textContent]); };
await keep();
press("Home"); await keep(); found.start = told.textContent;
press("ArrowRight"); press("ArrowRight"); press("n"); await keep(); found.third = told.textContent;
press("l"); press("d"); press("x"); await keep();
press("2"); await keep(); found.one = seen().includes("In Python");
press("1"); await keep(); found.dots = chart.dots.length;
press("ArrowRight"); press("Enter"); await keep(); found.opened = state.view;
press("1");
const select = document.querySelector('[data-set="y"]');
select.value = "fit_fvu"; select.dispatchEvent(new Event("change", { bubbles: true }));
document.querySelector('[data-loss="baseline"]').click(); await keep();
found.fewer = chart.dots.length;
const dot = chart.dots[3], box = chart.svg.getBoundingClientRect();
chart.svg.dispatchEvent(new MouseEvent("click", { bubbles: true,
  clientX: box.left + dot.x, clientY: box.top + dot.y }));
found.clicked = state.view === "one" && state.a === dot.run.key && state.a !== state.b
  && sameProblem(dot.run, BY_KEY.get(state.b));
press("3"); press("Home"); press(" ");
await new Promise(done => setTimeout(done, 5000)); found.played = told.textContent;
// Every state opens again from its address alone.
found.again = [];
for (const [address, drawing, moment] of kept) {
  location.hash = "view=all"; await rest();
  location.hash = address; await rest();
  found.again.push(picture() === drawing && told.textContent === moment);
}
found.addresses = new Set(kept.map(([address]) => address)).size;
const saved = new DOMParser().parseFromString(kept[2][1], "image/svg+xml");
found.saved = [saved.documentElement.nodeName, saved.querySelectorAll("svg svg").length];
location.hash = "view=two&a=nonsense"; await rest();
found.warned = document.querySelector(".warn").innerText;
"""


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize("n_inputs", [1, 2])
def test_a_tour_by_keyboard_and_address(n_inputs, tmp_path):
    results = mlpspec.run_study(study(n_inputs=n_inputs), tmp_path / "r", n_jobs=1)
    found = probed(results, tmp_path, TOUR)
    assert re.match(r"After 40 steps with \S+, \d of 8 neurons are expelled; with", found["first"])
    assert found["wide"]
    assert found["start"] == "step 0 of 40"
    assert found["third"] == "step 2 of 40"
    assert found["one"]
    assert (found["dots"], found["fewer"]) == (24, 18)
    assert found["opened"] == "one"
    assert found["clicked"]
    assert found["played"] == "step 40 of 40"
    assert found["again"] == [True] * 8
    assert found["addresses"] == 8
    assert found["saved"][0] == "svg"
    assert found["saved"][1] > 4
    assert "no a nonsense" in found["warned"]


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize("limit", [30_000, 4_000_000])
def test_a_page_says_at_its_top_that_it_shows_some_runs_only(results, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(explorer, "MOST_BYTES", limit)
    top = 'found.top = document.querySelector("main").innerText.split("\\n")[0]'
    found = probed(results, tmp_path, top)["top"]
    shown = len(explorer.content(results)["shown"])
    assert (
        (shown < 24)
        == (found == f"This page shows {shown} of 24 runs: its end says which are left out.")
        == (limit < 10**6)
    )


@pytest.mark.slow
@in_a_browser
@pytest.mark.parametrize("settings", [{}, {"n_inputs": 2}, {"n_inputs": 4}, {"record": "every"}])
def test_the_explorer_on_a_phone(settings, tmp_path):
    """In a frame 375 pixels wide nothing is wider than the frame, in any view."""
    results = mlpspec.run_study(study(**settings), tmp_path / "r", n_jobs=1)
    (tmp_path / "page.html").write_text(explorer.page(results))
    (tmp_path / "phone.html").write_text(
        "<!doctype html><iframe src='page.html' width='375' height='800' style='border:0'></iframe>"
        "<script>addEventListener('load', async () => {"
        "const root = frames[0].document, html = root.documentElement, found = [];"
        "for (const view of ['all', 'one', 'two']) {"
        "frames[0].location.hash = 'view=' + view;"
        "await new Promise(done => setTimeout(done, 300));"
        "const sizes = [...root.querySelectorAll('main *')].map("
        "element => parseFloat(frames[0].getComputedStyle(element).fontSize));"
        "found.push([root.querySelector('nav [aria-pressed=true]').dataset.view,"
        "html.scrollWidth, html.clientWidth, Math.min(...sizes),"
        "root.querySelectorAll('[data-none-recorded]').length]);}"
        "document.title = JSON.stringify(found)})</script>"
    )
    done = browse(tmp_path / "phone.html", "--allow-file-access-from-files")
    found = json.loads(re.search(r"<title>(.*?)</title>", done.stdout)[1])
    assert [view for view, *_ in found] == ["all", "one", "two"]
    for _, scroll, client, smallest, told_of_none in found:
        assert scroll <= client <= 375
        assert told_of_none == ("record" in settings)  # which is "every": no run was recorded
        assert smallest >= 11.0
