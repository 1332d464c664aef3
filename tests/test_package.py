"""The package as a whole: its imports, its README, its wheel, its reference results."""

import ast
import csv
import io
import os
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
import zipfile
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT

import mlpspec
from mlpspec.analysis.analysis import Analysis
from mlpspec.report import explorer
from mlpspec.store.packed import content
from mlpspec.store.tables import read_csv, write_csv

PACKAGE = ROOT / "mlpspec"

# The rooms, and which others each may import; `arrays` and `errors` may be imported by all.
ROOMS = {
    "data": set(),
    "network": {"data"},
    "losses": {"network"},
    "training": {"network", "losses"},
    "study": {"data", "network", "losses", "training"},
    "metrics": {"data", "network", "losses"},
    "store": {"data", "study", "network", "training", "metrics"},
    "running": {"data", "network", "losses", "training", "study", "metrics", "store"},
    "analysis": {"data", "network", "losses", "study", "metrics", "store"},
    "report": {"data", "network", "losses", "study", "metrics", "store", "analysis"},
}
ROOMS["cli"] = {*ROOMS, "report"}
CATALOGUE = ROOMS["study"] | {"study"}  # what the named studies are made of
# Modules beside the rooms, and what each may import, and where those that may not be imported by
# all may be.
MODULES = {"studies": CATALOGUE, "compress": {"network", "metrics"}, "__main__": {"cli"}}
IMPORTED = {
    "studies": {"report", "cli"},
    "compress": {"study", "studies", "running", "analysis", "report", "cli"},
}
# Lines of code that each may have, without blank lines, comments and docstrings: who needs more
# takes something out, or says here why the room must grow.
LINES = {
    "data": 600,
    "network": 450,
    "losses": 1200,
    "training": 1450,
    "study": 1800,
    "metrics": 650,
    "store": 1450,
    "running": 1150,
    "analysis": 1500,
    "report": 3050,
    "cli": 1000,
}
BESIDE, IN_A_FILE = 600, 500
"""Lines of all modules beside the rooms; lines of one file, with everything in it."""
SOLE_IMPORTERS = {
    "autograd": {"losses.formula"},
    "cloudpickle": {"running.worker"},  # carries losses of users to workers
    "distributed": {"running.cluster"},
    "joblib": {"running.workers", "running.signals"},
    "llvmlite": {"training.rows", "training.compiled"},
    "matplotlib": {"report.figures"},  # and what is in it
    "numba": {"training.rows", "training.compiled", "training.engine"},
    "sqlite3": {"store.database", "store.store", "cli.command"},
    "tqdm": {"running.progress"},
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules():
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def test_imports_point_one_way():
    for name, path in modules():
        room = name.partition(".")[0]
        allowed = MODULES.get(room, {room, *ROOMS.get(room, ())})
        for imported in imports(path):
            top, _, below = imported.partition(".")
            other = below.partition(".")[0]
            if top == "mlpspec" and name != "__init__" and other in {*ROOMS, *IMPORTED}:
                known = other in allowed or room in IMPORTED.get(other, ())
                assert known, f"{name} imports {imported}"
            if top in SOLE_IMPORTERS:
                holders = {name, name.rpartition(".")[0]}
                assert holders & SOLE_IMPORTERS[top], f"{name} imports {top}"


def lines_of_code(text):
    """Count lines that hold more than a comment or a docstring."""
    tree = ast.parse(text)
    nodes = [node for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)]
    said = [
        line
        for node in nodes
        for part in node.body
        if isinstance(part, ast.Expr)
        and isinstance(part.value, ast.Constant)
        and isinstance(part.value.value, str)
        for line in range(part.lineno, part.end_lineno + 1)
    ]
    layout = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    held = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in (*layout, tokenize.ENDMARKER)
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(held.difference(said))


def test_lines_of_code_are_counted():
    text = """'Said.'

x = 1  # counts

def f():
    'Said, \\
    too.'
    # why
    return (
        x
    )
"""
    assert lines_of_code(text) == 5


def test_no_room_outgrows_what_it_may_have():
    sizes = dict.fromkeys([*LINES, "beside"], 0)
    for name, path in modules():
        room, text = name.partition(".")[0], path.read_text()
        sizes[room if room in LINES else "beside"] += lines_of_code(text)
        assert text.count("\n") <= IN_A_FILE, f"{name} has more than {IN_A_FILE} lines"
    limits = {**LINES, "beside": BESIDE}
    assert not {room: size for room, size in sizes.items() if size > limits[room]}, sizes


def test_every_room_says_what_it_is_for():
    for room in ROOMS:
        doc = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text()))
        assert doc, room
        assert "\n" not in doc or room == "losses", room


def test_no_pickle_anywhere():
    for name, path in modules():
        assert not {"pickle", "dill", "shelve"} & set(imports(path)), name


def test_public_names_exist_and_are_documented():
    for name in mlpspec.__all__:
        assert getattr(mlpspec, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = mlpspec.nonsense


def readme_commands():
    return re.findall(r"^```sh\n(.+?)\n```$", (ROOT / "README.md").read_text(), re.M | re.S)


def test_the_readme_starts_with_two_single_line_commands():
    study, tests = readme_commands()[:2]
    assert "\n" not in study
    assert "\n" not in tests
    for command in (study, tests):
        assert command.startswith("python3 -m venv .venv && ")
    assert study.endswith("mlpspec run")
    assert tests.endswith("pytest")


def test_ci_calls_exactly_the_test_command_of_the_readme():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert readme_commands()[1] in lines


def test_superseded_findings_cannot_be_taken_for_those_of_the_study():
    for page in (ROOT / "README.md", ROOT / "results" / "README.md"):
        titles = re.findall("^#+ (.*)", page.read_text(), re.M)
        assert not [title for title in titles if "former" in title.lower()]
    page = (ROOT / "results" / "former" / "README.md").read_text()
    assert page.startswith("# Superseded: ")
    assert page.split("\n\n")[1].startswith("**Do not cite these numbers")


def test_the_verdict_tables_of_the_pages_are_the_committed_ones():
    with (ROOT / "results" / "paper" / "claims.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    claims = list(dict.fromkeys(row["claim"] for row in rows))
    pages = "".join(path.read_text() for path in (ROOT / "README.md", ROOT / "results/README.md"))
    tables = [
        re.findall(r"^\| (C\w+) \|" + r" (.+?) \|" * 5 + "$", section, re.M)
        for section in re.split(r"^## ", pages, flags=re.M)
    ]
    assert any(tables)
    for found in filter(None, tables):
        assert [row[0] for row in found] == claims
        for claim, text, *verdicts, repeats in found:
            own = {row["basis"]: row for row in rows if row["claim"] == claim}
            bases = ("stated, means", "stated, medians", "calibrated")
            assert verdicts == [own[basis]["verdict"] for basis in bases]
            assert text == own[bases[0]]["text"]
            assert float(repeats) == pytest.approx(float(own[bases[0]]["repeat"]), abs=0.0051)


@pytest.mark.parametrize(
    "name", ["paper", "tau-sweep", "hull-2d", "attractors", "neuron-kinds", "shift-test"]
)
def test_tables_of_the_reference_results_follow_from_their_stores(name, tmp_path):
    kept = ROOT / "results" / name
    shutil.copy(kept / "study.sqlite.gz", tmp_path)
    mlpspec.load(tmp_path).write_tables()
    for file in ("summary.csv", "provenance.json"):
        assert (tmp_path / file).read_bytes() == (kept / file).read_bytes(), file
    runs, table = read_csv(tmp_path / "runs.csv"), mlpspec.load(kept).table
    assert [row.tolist() for row in runs.values()] == [row.tolist() for row in table.values()]


@pytest.mark.slow
def test_the_committed_verdicts_follow_from_the_committed_results(tmp_path):
    analysis = Analysis(ROOT / "results" / "paper")
    write_csv(tmp_path / "claims.csv", analysis.claims_table())
    write_csv(tmp_path / "comparisons.csv", analysis.comparisons_table())
    for file in ("claims.csv", "comparisons.csv"):
        assert (tmp_path / file).read_bytes() == content(ROOT / "results" / "paper" / file), file
    runs = read_csv(ROOT / "results" / "confirm" / "runs.csv")  # from which fresh seeds are drawn
    assert len(runs["key"]) == 9600


@pytest.mark.slow
def test_report_makes_what_is_not_kept(tmp_path):
    from mlpspec.cli.command import main

    kept = ROOT / "results" / "collapse"
    shutil.copy(kept / "study.sqlite.gz", tmp_path)
    assert main(["report", str(tmp_path)]) == 0
    for file in kept.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file
    made = {path.name for path in tmp_path.iterdir()} - {path.name for path in kept.iterdir()}
    assert made == {"runs.csv", "figures", "report.html", "explore.html"}
    figures = {path.name for path in (tmp_path / "figures").iterdir()}
    names = ("sweep", "verdicts")
    assert figures == {f"{name}.{kind}" for name in names for kind in ("svg", "png", "csv")}
    page = (tmp_path / "report.html").read_text()
    windows = r"<svg viewBox='[^>]*'>(<use href='#[^>]*/>)+</svg>"  # onto the one drawing
    assert re.sub(windows, "", page).count("<svg") == 1


def test_the_repository_is_light_and_lacks_no_number():
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert sum(path.lstat().st_size for path in files) < 15e6
    results = [path for path in files if path.is_relative_to(ROOT / "results")]
    shown = {
        (page.parent / picture).resolve()
        for page in files
        if page.suffix == ".md"
        for picture in re.findall(r"!\[[^]]*\]\(([^)\s]+)\)", page.read_text())
    }
    for path in results:
        kept = path.suffix in (".md", ".json", ".csv", ".gz") or path.is_symlink()
        assert kept or path in shown, f"no page shows {path}; see results/README.md"
        packed = ("study.sqlite", "runs.csv", "comparisons.csv")
        assert path.name not in packed, f"pack it, as by gzip -9n {path}"
    # Where no store is kept, what was made of it is.
    stores = {path.parent for path in results if path.name == "study.sqlite.gz"}
    others = {path.parent for path in results if path.name == "provenance.json"} - stores
    names = {path.relative_to(ROOT / "results").as_posix() for path in others}
    readings = {"readings", "readings/finalists", "readings/finalists/fresh"}
    robustness = {"robustness", "robustness/chance", "robustness/decisive"}
    controls = {"controls", "controls/phase"}
    neighbours = {"monosemanticity", "compression"}
    assert names == {"confirm", "confirm/tau-sweep", *readings, *robustness, *controls, *neighbours}


def test_metadata():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "project" not in project
    assert "build-system" in project
    packages = setup["options"]["packages"].split()
    assert {PACKAGE.joinpath(*p.split(".")[1:]) for p in packages} == {
        path.parent for path in PACKAGE.rglob("__init__.py")
    }
    assert f"version: {mlpspec.__version__}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {mlpspec.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert "2605.25939" in (ROOT / "CITATION.cff").read_text()


def test_dependency_groups_are_the_extras():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    test, (included, *dev) = groups["test"], groups["dev"]
    assert included == {"include-group": "test"}
    assert test == setup["options.extras_require"]["test"].split()
    assert [*test, *dev] == setup["options.extras_require"]["dev"].split()


def test_the_oldest_versions_are_those_that_are_tested():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = re.findall(r"^(\w+)>=([\d.]+)$", setup["options"]["install_requires"], re.M)
    assert len(required) >= 7
    tested = (ROOT / "constraints-oldest.txt").read_text()
    for name, version in required:
        assert f"\n{name}=={version}.*\n" in tested, name


def test_experiments_define_studies(monkeypatch):
    import runpy

    monkeypatch.syspath_prepend(ROOT / "experiments")
    found = (ROOT / "experiments").glob("*.py")
    paths = sorted(path for path in found if path.name != "contenders.py")  # of the benchmark
    assert paths
    named = {study().to_json() for study in mlpspec.studies.STUDIES.values()}
    for path in paths:
        found = runpy.run_path(str(path))
        assert isinstance(found["STUDY"], mlpspec.Study), path
        assert found["__doc__"], path
        if path.name != "benchmark.py":
            assert found["STUDY"].to_json() not in named, f"{path} only names a study"


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("paper", 480),
        ("former", 480),
        ("collapse", 520),
        ("tau-sweep", 1040),
        ("hull-2d", 160),
        ("attractors", 480),
        ("neuron-kinds", 480),
        ("shift-test", 480),
    ],
)
def test_reference_results_are_whole(name, count, capsys):
    from mlpspec.cli.command import main

    assert main(["status", str(ROOT / "results" / name)]) == 0
    assert f"asked     {count} by the last session: 0 missing, 0 failed" in capsys.readouterr().out
    results = mlpspec.load(ROOT / "results" / name)
    study = mlpspec.studies.STUDIES[name]()
    assert set(results.runs) == {run.key for run in study.runs}
    assert set(results.table["status"]) == {"ok"}
    assert len(results.table["key"]) == count


def test_reference_results_are_made_anew_by_this_code():
    """A few reference runs, trained again, agree to rounding (bits differ between processors)."""
    from mlpspec.running.worker import train_batch

    results = mlpspec.load(ROOT / "results" / "paper")
    runs = [run for run in results.runs.values() if run.n_samples == 3 and run.seed < 2]
    for record in train_batch(tuple(runs)):
        stored = results.params(record.run.key).flatten()[0]
        np.testing.assert_allclose(record.params, stored, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_wheel_works_outside_the_checkout(tmp_path):
    def run(*command, **options):
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, cwd=tmp_path, **options
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "mlpspec/py.typed" in names
    assert {f"mlpspec/report/{part}" for part in (*explorer.PARTS, "report.html")} <= {*names}
    assert not [name for name in names if name.startswith(("tests", "experiments", "results"))]
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", wheel)
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = tmp_path / "venv" / "bin" / "mlpspec"
    out = run(
        command, "run", "--only", "--sizes", "3", "--set", "steps=10", "--jobs", "2", env=clean
    )
    assert "of 80 in runs/paper 80 ok" in out
    where = run(python, "-c", "import mlpspec; print(mlpspec.__file__)", env=clean)
    assert Path(where.strip()).is_relative_to(tmp_path)
