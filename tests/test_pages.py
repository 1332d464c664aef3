"""The pages: every link leads somewhere, every example runs, nothing with a name is left out."""

import argparse
import json
import os
import re
import runpy
import shlex
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, problem
from test_package import ROOMS, imports, modules

import mlpspec
from mlpspec.analysis.claims import CLAIMS, FOUND
from mlpspec.cli.parser import parser
from mlpspec.compress import COMPRESSIONS
from mlpspec.data.datasets import DATASETS, TARGETS
from mlpspec.metrics.measure import MEASUREMENTS
from mlpspec.network.initializers import INITIALIZERS
from mlpspec.report.figures.base import Figure
from mlpspec.report.figures.verdicts import COLOURS
from mlpspec.store.tables import read_csv
from mlpspec.study.run import SETTINGS
from mlpspec.training.optimizers import OPTIMIZERS
from mlpspec.training.schedules import SCHEDULES
from mlpspec.training.stopping import STOPPINGS

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def find_pages():
    for folder, inner, files in os.walk(ROOT):
        inner[:] = [
            name for name in inner if name[0] != "." and name not in ("runs", "build", "api")
        ]
        yield from (Path(folder, name) for name in files if name.endswith(".md"))


PAGES = {str(path.relative_to(ROOT)): path for path in sorted(find_pages())}


def blocks(language):
    return [
        (name, code)
        for name, path in PAGES.items()
        for found, code in FENCED.findall(path.read_text())
        if found == language
    ]


def anchors(path):
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCED.sub("", path.read_text()), re.M)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return {slug if not n else f"{slug}-{n}" for slug in slugs for n in range(slugs.count(slug))}


def dead_links(path):
    text = re.sub(r"`[^`\n]*`", "", FENCED.sub("", path.read_text()))
    links = re.findall(r"\]\(\s*<?([^)\s>]+)", text)
    links += re.findall(r"^\[[^\]]+\]: *(\S+)", text, re.M)
    links += re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    dead = []
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        inside = target.is_relative_to(ROOT) or target.is_relative_to(path.parent)
        if not (inside and target.exists() and (not anchor or anchor in anchors(target))):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    assert dead_links(PAGES[page]) == []


def test_dead_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One & two\n## Two\n## Two\n[a](#one--two) [b](page.md#two-1) [c](https://x.invalid/y)\n"
        "`[d](code.md)`\n```sh\n[e](code.md)\n# code\n```\n"
        "[f](#two-2) [g](#code) ![h](no.png) [![i](no.svg)](#three) [j]\n\n[j]: gone.md\n"
        '<img src="no.jpg">\n'
    )
    assert dead_links(page) == [
        "#two-2", "#code", "no.png", "no.svg", "#three", "gone.md", "no.jpg"
    ]  # fmt: skip


def test_every_command_of_a_page_can_be_parsed():
    lines = [
        line
        for _, code in blocks("sh")
        for block in code.replace("\\\n", "").splitlines()
        for line in re.split(r" && ", block)
    ]
    commands = [line for line in lines if line.startswith("mlpspec ")]
    assert len(commands) > 20
    for command in commands:
        arguments = parser().parse_args(shlex.split(command, comments=True)[1:])
        for group in getattr(arguments, "settings", []):
            for setting in [group] if isinstance(group, str) else group:
                assert setting.partition("=")[0] in SETTINGS, command
        study = getattr(arguments, "study", "paper")
        if study.endswith(".py"):
            saved = f"Save this as `{study}`"
            assert (ROOT / study).exists() or any(saved in p.read_text() for p in PAGES.values())
        else:
            assert study in mlpspec.studies.STUDIES, command


def test_python_examples_of_the_pages_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    examples = dict.fromkeys(blocks("python"))
    own = [code for _, code in examples if "StructuralLoss" in code or "Formula" in code]
    for _, code in examples:
        if code not in own:
            namespace = {}
            exec(code.replace("n_jobs=2", "n_jobs=1"), namespace)
            study = namespace.get("STUDY") or namespace["study"]
            assert isinstance(study, mlpspec.Study)
    assert capsys.readouterr().out.count("]") > 3
    # The loss is the one of the experiment, which other tests check, run and draw.
    kept = (ROOT / "experiments" / "custom_loss.py").read_text()
    (loss,) = [code for code in own if code in kept]
    assert len(loss[loss.index("@dataclass") :].splitlines()) <= 12
    # Those by their formula alone are the same loss.
    namespace = runpy.run_path(str(ROOT / "experiments" / "custom_loss.py"))
    net = mlpspec.forward(*problem(2, 5, 2))
    expected, gradient = namespace["Anchored"]().value_and_grad(net)
    for code in own:
        exec(code, namespace)
        name = re.search(r"^class (\w+)", code, re.M)[1]
        value, partials = namespace[name]().value_and_grad(net)
        np.testing.assert_allclose(value, expected)
        np.testing.assert_allclose(partials["prototypes"], gradient["prototypes"])
    assert {name for name, _ in examples} >= {
        "README.md",
        "experiments/README.md",
        "docs/definitions.md",
    }


def test_recipes_of_one_page_train_in_directories_of_their_own():
    for name in PAGES:
        shell = "".join(code for page, code in blocks("sh") if page == name)
        python = "".join(code for page, code in blocks("python") if page == name)
        shared = {*re.findall(r"--out (runs/\S+)", shell)} & {*re.findall(r'"(runs/.+?)"', python)}
        assert not shared, name


def test_whatever_has_a_name_is_described():
    definitions = PAGES["docs/definitions.md"].read_text()
    for name in (*SETTINGS, *mlpspec.studies.STUDIES, *INITIALIZERS, *TARGETS):
        assert f"`{name}`" in definitions, name
    for name in (*DATASETS, *OPTIMIZERS, *SCHEDULES, *STOPPINGS, *COMPRESSIONS):
        assert re.search(rf"`{name}[(`]", definitions), name
    columns = PAGES["results/README.md"].read_text()
    for name in MEASUREMENTS:
        assert f"`{name}`" in columns, name


def test_every_loss_claim_and_verdict_is_described():
    definitions = PAGES["docs/definitions.md"].read_text()
    for name in mlpspec.losses.__all__:
        loss = getattr(mlpspec.losses, name)
        if isinstance(loss, type) and issubclass(loss, mlpspec.StructuralLoss):
            named = (f"`{name}`", f"`{name.lower()}`")  # those of the study by their labels
            assert name in ("Formula", "StructuralLoss") or any(n in definitions for n in named), (
                name
            )
    claims = PAGES["docs/claims.md"].read_text()
    assert all(f"| {claim.name} |" in claims for claim in CLAIMS)
    assert all(f"`{verdict}`" in claims for verdict in COLOURS)
    assert all(f"| {mark} |" in claims for mark in FOUND.values())


def test_every_command_and_option_is_described():
    page = PAGES["docs/commands.md"].read_text()
    (commands,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    for name, command in commands.choices.items():
        assert f"`mlpspec {name}" in page, name
        for action in command._actions:
            for option in action.option_strings[-1:]:
                (row,) = re.findall(rf"^\|.*`{option}[ `].*", page, re.M) or ["| | |"]
                known = option == "--help" or f"`{name}`" in row.split("|")[2]
                assert known, f"{option} of {name}"


def test_every_public_name_is_in_the_pages():
    page = PAGES["docs/api.md"].read_text()
    for name in mlpspec.__all__:
        assert re.search(rf"(::|`) ?mlpspec\.{name}[\n`.]", page), name


def test_the_picture_of_the_house_is_true():
    house = runpy.run_path(str(ROOT / "docs" / "house.py"))
    assert house["draw"]() == (ROOT / "docs" / "house.svg").read_text()
    assert {*house["ROOMS"]} == {*ROOMS}
    imported = set()
    for name, path in modules():
        for other in imports(path):
            imported.add((name.partition(".")[0], other.removeprefix("mlpspec.").partition(".")[0]))
    for one, other in house["ARROWS"]:
        assert {(one, other), (other, one)} & imported, (
            f"{one} and {other} know nothing of each other"
        )


def test_ci_builds_the_pages_as_the_pages_say():
    (build,) = (code for name, code in blocks("sh") if name == "docs/index.md")
    assert build in (ROOT / ".ci" / "run").read_text()


def test_recipes_work():
    snippets = [code for name, code in blocks("py") if name == "docs/adding.md"]
    loss, rule, measurement, figure, setting = (_run(code) for code in snippets)
    assert mlpspec.check_loss(loss["PullToMean"]()).checks  # or it would have raised
    x = np.array([[[0.0], [1.0]]])
    places = measurement["Places"](x, x + 0.25, width=1.0)
    np.testing.assert_allclose(measurement["ENTRY"].function(places), [0.25])
    assert {*figure["SLOPES"]} < {*MEASUREMENTS}
    assert isinstance(figure["FIGURE"], Figure)
    assert setting["target_scale"].metadata["affects"] == ("data",)
    assert rule["sign_descent"](0.5).rule == "sign_descent"
    numbers = rule["sign_descent"](0.5).numbers
    assert rule["sign_rule"](np.array([3.0, -2.0]), 0, 0, 1, numbers)[0].tolist() == [-0.5, 0.5]


def _run(code):
    namespace = {"__name__": "recipe"}
    exec(code, namespace)
    return namespace


def test_no_page_repeats_another():
    pages = Counter()
    for path in PAGES.values():
        text = " ".join(path.read_text().split())
        parts = {part.strip("-*| ") for part in re.split(r"(?<=[.:?]) | \| ", text)}
        pages.update({part for part in parts if len(part) > 60})
    assert [part for part, count in pages.items() if count > 1] == []


def step_ratios():
    """What a step of the grid takes, over ours: PyTorch's loop, JAX, the exponentials alone."""
    rows = json.loads((ROOT / "results" / "benchmark" / "benchmark.json").read_text())
    ratios = {row["contender"]: row["over ours"] for row in rows["one step of all runs"]}

    def of(start, end):
        return next(r for name, r in ratios.items() if name.startswith(start) and end in name)

    return of("PyTorch", "loop"), of("JAX", "subset"), 1 / of("the exponentials", "2 proc")


def test_the_readme_is_short_and_its_ratios_are_those_of_the_benchmark():
    readme = PAGES["README.md"].read_text()
    assert len(readme.splitlines()) <= 150
    told = re.findall(r"\b([\d.]+)\s+times\s+as\s+(?:fast|long)\b", readme)
    assert [float(number) for number in told] == pytest.approx(step_ratios(), rel=0.1)


def test_the_numbers_of_the_paper_are_the_committed_ones():
    paper = " ".join(PAGES["paper.md"].read_text().split())
    told = re.findall(r"\b([\d.]+) times (?:less than|as long)", paper)
    assert [float(number) for number in told] == pytest.approx(step_ratios(), rel=0.05)
    shares = read_csv(ROOT / "results" / "readings" / "shares.csv")
    share = dict(zip(shares["claim"], shares["share"], strict=True))
    told = [float(number) for number in re.findall(r"(\d+) %", paper)]
    assert told == pytest.approx([100 * share[claim] for claim in ("C8", "C1", "C6")], abs=0.5)
    claims = read_csv(ROOT / "results" / "paper" / "claims.csv")
    verdicts = {}
    for claim, basis, verdict in zip(
        claims["claim"], claims["basis"], claims["verdict"], strict=True
    ):
        verdicts.setdefault(claim, {})[basis] = verdict
    calibrated = Counter(of["calibrated"] for of in verdicts.values())
    both = [of for of in verdicts.values() if of["stated, means"] == of["stated, medians"]]
    assert (len(verdicts), sum(of["stated, means"] == "holds" for of in both)) == (9, 6)
    assert calibrated == {"holds": 2, "in part": 2, "undetermined": 2, "fails": 3}
    told = re.search(r"Of the (\w+) claims, (\w+) hold .* (\w+) hold at .* (\w+) fail", paper)
    assert told.groups() == ("nine", "six", "two", "three")
