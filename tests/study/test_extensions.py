"""Custom losses: described, loaded, part of keys, trained in workers, drawn."""

import csv
import importlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass

import numpy as np
import pytest
from helpers import ROOT, same_bits

import mlpspec
from mlpspec.errors import InputError
from mlpspec.losses import Coverage, HardCoverage, StructuralLoss
from mlpspec.report.figures import marks
from mlpspec.study.extensions import Definition, define, load_loss, named_loss
from mlpspec.study.run import Run
from mlpspec.study.study import Study
from mlpspec.study.subsets import chosen_subsets

SOURCE = '''
from dataclasses import dataclass
import numpy as np
from mlpspec import StructuralLoss

TWO = 2.0

def double(value):
    return TWO * value

@dataclass(frozen=True)
class Small(StructuralLoss):
    """Mean squared height."""
    scale: float = 1.0
    def value_and_grad(self, forward):
        v = forward.params.output_weight
        partial = double(self.scale * v) / v.shape[1]
        return self.scale * (v**2).mean(axis=1), {"output_weight": partial}
'''


@dataclass(frozen=True)
class Small(StructuralLoss):
    scale: float = 1.0

    def value_and_grad(self, forward):
        v = forward.params.output_weight
        return self.scale * (v**2).mean(axis=1), {"output_weight": 2 * self.scale * v / v.shape[1]}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(SOURCE)
    return path


def small_study(loss, subsets="all", **changes):
    study = mlpspec.studies.paper().replace(n_samples=(3, 5), seed=(0, 1), steps=30, **changes)
    return study.with_losses({"small": loss}, subsets)


def test_a_definition_is_class_fields_and_content(file):
    loss = load_loss(f"{file}:Small(scale=2)")
    definition = define("small", loss)
    assert (definition.class_name, definition.fields) == ("Small", (("scale", 2),))
    assert definition.loss is loss
    assert definition == define("small", load_loss(f"{file}:Small(2)"))
    assert definition == Definition.from_dict("small", definition.to_dict())
    assert definition != define("small", load_loss(f"{file}:Small()"))
    file.write_text(SOURCE + "\n")
    assert definition.source != define("small", load_loss(f"{file}:Small(2)")).source
    # In a file that was imported it is that file; in this package it is the package.
    assert define("small", Small()).source == define("other", Small(3.0)).source
    assert define("hard", HardCoverage()).source == "mlpspec"
    assert load_loss("mlpspec.losses:Coverage(temperature=0.5)") == Coverage(0.5)


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """The loss of a module that is imported from a folder, or from an archive in it."""

    def imported(path):
        monkeypatch.syspath_prepend(tmp_path / path)
        monkeypatch.delitem(sys.modules, "small_module", raising=False)
        return importlib.import_module("small_module").Small()

    return imported


def test_a_loss_that_was_trained_with_here_is_described_as_before(tmp_path, imported):
    (tmp_path / "small_module.py").write_text(SOURCE)
    loss = imported(".")
    described = define("small", loss)
    mlpspec.run_study(small_study(loss, "small"), tmp_path / "out", n_jobs=1)
    assert define("small", loss) == described


def test_a_module_in_an_archive_is_described(tmp_path, imported):
    (tmp_path / "small_module.py").write_text(SOURCE)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.write(tmp_path / "small_module.py", "small_module.py")
    assert define("small", imported("archive.zip")) == define("small", imported("."))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("small.py", "must look like FILE_OR_MODULE:CLASS"),
        (":Small", "must look like FILE_OR_MODULE:CLASS"),
        ("nowhere.py:Small", "cannot read nowhere.py: No such file"),
        ("nowhere:Small", "there is no module 'nowhere'"),
        ("FILE:Large", "no class Large derived from StructuralLoss; there is Small"),
        ("FILE:TWO", "no class TWO"),
        ("FILE:Small(scale=open('x'))", "which is no literal"),
        ("FILE:Small(1, 2)", "cannot be made: TypeError"),
        ("mlpspec.losses:Coverage(-1)", "cannot be made: InputError: temperature is -1"),
        ("mlpspec.losses:StructuralLoss()", "cannot be made: TypeError"),
    ],
)
def test_a_loss_that_cannot_be_loaded_is_one_line(file, text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message.replace("(", r"\(")) as caught:
        load_loss(text.replace("FILE", str(file)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 +", "fails with SyntaxError"),
        ("import helpers_beside_it", "no files beside it"),
        ("raise SystemExit(3)", "fails with SystemExit: 3"),
        ("raise ValueError('a\\nb')", "fails with ValueError: a b"),
        ("\0", "fails with"),
    ],
)
def test_a_file_that_fails_is_one_line(file, source, message):
    file.write_text(source)
    with pytest.raises(InputError, match=message) as caught:
        load_loss(f"{file}:Small")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["", "Small", "a+b", "coverage", "baseline", "fit", "=x", "a" * 41]
)
def test_names_that_a_loss_cannot_have(name):
    with pytest.raises(InputError, match=r"a loss is called|must look like"):
        mlpspec.studies.paper().with_losses({name: Small()})
    with pytest.raises(InputError):
        named_loss(f"{name}=mlpspec.losses:HardCoverage")


def test_losses_that_cannot_be_described():
    @dataclass
    class Melting(StructuralLoss):
        def value_and_grad(self, forward):
            raise AssertionError

    @dataclass(frozen=True)
    class Listing(Small):
        centers: tuple = (1, 2)

    for loss, message in (
        (Melting(), "frozen=True"),
        (Small, "frozen=True"),
        (Listing(), "the field centers of the loss 'mine' is"),
        (Small(float("nan")), "the field scale"),
    ):
        with pytest.raises(InputError, match=message):
            define("mine", loss)
    names = {}
    exec(compile(SOURCE, "<string>", "exec"), names)
    with pytest.raises(InputError, match="source of the loss Small cannot be found"):
        define("mine", names["Small"]())


def test_keys_hold_what_defines_the_active_losses(file):
    study = small_study(load_loss(f"{file}:Small(scale=2)"))
    plain = {run.key for run in mlpspec.studies.paper().replace(steps=30).runs}
    for run in study.runs:
        assert (run.key in plain) == ("small" not in run.losses)
        assert Run(**json.loads(json.dumps(run.to_dict()))).key == run.key
        assert all(definition.loss is None for definition in run.definitions)
    other = small_study(load_loss(f"{file}:Small(scale=3)"))
    file.write_text(SOURCE.replace("TWO = 2.0", "TWO = 2.0  # a comment"))
    edited = small_study(load_loss(f"{file}:Small(scale=2)"))
    for changed in (other, edited):
        same = {run.key for run in study.runs} & {run.key for run in changed.runs}
        assert len(same) == len(study.runs) / 2  # those without it
    again = Study.from_json(study.to_json())
    assert again.runs == study.runs
    with pytest.raises(InputError, match=r"the code of the loss small .* is not at hand"):
        _ = again.own_losses


def test_subsets():
    names = ("mine", "overlap", "coverage")
    everything = chosen_subsets(names, "all")
    assert len(everything) == 8
    assert everything[:4] == ((), ("coverage",), ("overlap",), ("mine",))
    assert everything[-1] == ("coverage", "overlap", "mine")
    assert chosen_subsets(names, "singles") == everything[:4]
    assert chosen_subsets(names, "pairs") == everything[:7]
    listed = ((), ("mine",), ("coverage", "mine"))
    assert chosen_subsets(names, "mine, mine+coverage,baseline") == listed
    with pytest.raises(InputError, match="7 losses have 128 subsets; the limit"):
        chosen_subsets(list("abcdefg"), "all")
    assert len(chosen_subsets(list("abcdefg"), "pairs")) == 29
    with pytest.raises(InputError, match="unknown loss 'theirs'"):
        mlpspec.studies.paper().with_losses({"mine": Small()}, "theirs+mine")
    assert len(mlpspec.studies.paper().with_losses({n: Small() for n in "abc"}).runs) == 64 * 60


def test_workers_train_it_and_give_the_same_bits(file, tmp_path):
    study = small_study(load_loss(f"{file}:Small(scale=2)"))
    one = mlpspec.run_study(study, tmp_path / "one", n_jobs=1, batch_size=3)
    two = mlpspec.run_study(study, tmp_path / "two", n_jobs=2)
    assert set(one.table["status"]) == {"ok"}
    for key in one.runs:
        assert same_bits(one.params(key).flatten(), two.params(key).flatten())
    # Evaluated for every run, and what the class says it is.
    v = one.params(one.table["key"][0]).output_weight
    assert one.table["small_loss"][0] == pytest.approx(2 * (v**2).mean(), rel=1e-13)
    # An edited formula has no place in a directory of the old one; another name has.
    file.write_text(SOURCE.replace("TWO = 2.0", "TWO = 1.0"))
    edited = load_loss(f"{file}:Small(scale=2)")
    with pytest.raises(InputError, match="has runs with another loss small: Small"):
        mlpspec.run_study(small_study(edited), tmp_path / "one", n_jobs=1)
    more = study.with_losses({"smaller": edited}, "smaller")
    assert len(mlpspec.run_study(more, tmp_path / "one", n_jobs=1).runs) == len(one.runs) + 4
    # Without the code everything can be read.
    file.unlink()
    assert mlpspec.load(tmp_path / "one").study.extensions["smaller"].class_name == "Small"


def test_the_unit_of_temperatures_is_for_all_losses():
    from mlpspec.study.problem import losses_of

    run = Run(n_samples=4, temperature=3.0, temperature_unit="spacing")
    found = losses_of(run, {"mine": Coverage(2.0), "plain": Small()})
    assert found["coverage"] == Coverage(3.0 * 0.25)
    assert found["mine"] == Coverage(2.0 * 0.25)
    assert found["plain"] == Small()


@pytest.mark.slow
def test_a_class_of_a_script_travels(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        SOURCE
        + """
import mlpspec
study = mlpspec.studies.paper().replace(n_samples=(3,), seed=(0, 1), steps=5)
study = study.with_losses({"small": Small()}, "singles")
if __name__ == "__main__":
    print(mlpspec.run_study(study, "out", n_jobs=2).table["status"].tolist())
"""
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert done.stdout == "['ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok']\n"
    assert done.stderr == ""


@pytest.mark.slow
def test_from_an_empty_folder_to_figures(mlpspec, tmp_path):
    """The example of the README, as a user runs it."""
    source = (ROOT / "experiments" / "custom_loss.py").read_text()
    (tmp_path / "anchored.py").write_text(source.partition("\n\nSTUDY")[0])
    loss = "anchored=anchored.py:Anchored"
    status, out, err = mlpspec("check-loss", "anchored.py:Anchored")
    assert status == 0, err
    small = ["--sizes", "3,5", "--seeds", "0:3", "--set", "steps=20", "--jobs", "2"]
    status, out, err = mlpspec("run", "--loss", loss, *small, "--out", "out")
    assert status == 0, err
    assert "of 96 in out 96 ok" in out
    with (tmp_path / "out" / "comparisons.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["family"] == "with anchored"]
    assert {row["treatment"] for row in rows} >= {"anchored", "coverage+anchored"}
    for name in ("outcomes", "subsets", "trajectories"):
        assert "anchored" in (tmp_path / "out" / "figures" / f"{name}.csv").read_text(), name
    with (tmp_path / "out" / "claims.csv").open(newline="") as table:
        assert len({row["claim"] for row in csv.DictReader(table)}) == 9
    status, _, err = mlpspec("run", "--loss", loss, "--loss", loss)
    assert status == 2
    assert "gives anchored twice" in err


def test_a_loss_that_exits_fails_its_runs_only(file, tmp_path):
    file.write_text(SOURCE.replace("        v = ", "        if forward.x.shape[1] == 5:\n"
                                   "            raise SystemExit(0)\n        v = "))  # fmt: skip
    results = mlpspec.run_study(small_study(load_loss(f"{file}:Small")), tmp_path / "out", n_jobs=1)
    table = results.table
    assert set(table["status"][table["n_samples"] == 3]) == {"ok"}
    assert set(table["status"][table["n_samples"] == 5]) == {"failed"}
    assert "SystemExit: 0" in next(iter(results.errors.values()))


def test_a_wrong_gradient_does_not_go_unnoticed(file, mlpspec, tmp_path):
    file.write_text(SOURCE.replace("TWO = 2.0", "TWO = -2.0"))
    status, _, err = mlpspec("run", "--only", "--quiet", "--loss", "small=small.py:Small",
                               "--sizes", "3", "--seeds", "0:1", "--set", "steps=2",
                               "--jobs", "1")  # fmt: skip
    assert status == 0
    assert err.startswith("mlpspec: warning: Small(scale=1.0): the partial of output_weight has ")
    assert err.count("\n") == 1


def test_a_loss_that_ends_its_process_is_found_out(file, mlpspec, tmp_path):
    file.write_text(SOURCE.replace("        v = ", "        import os; os._exit(0)\n        v = "))
    _, _, err = mlpspec("run", "--dry-run", "--loss", "small=small.py:Small", "--sizes", "3")
    assert err.startswith("mlpspec: warning: small.py:Small ends the process that runs it")
    assert "Traceback" not in err


def test_verdicts_are_about_the_built_in_subsets(tmp_path):
    from mlpspec.analysis.analysis import Analysis

    study = mlpspec.studies.paper().replace(n_samples=(3, 5), seed=range(3), steps=30)
    mlpspec.run_study(study, tmp_path / "plain", n_jobs=1)
    mlpspec.run_study(study.with_losses({"small": Small()}), tmp_path / "more", n_jobs=1)
    plain, more = (Analysis(tmp_path / name).verdicts for name in ("plain", "more"))
    assert plain == more


def test_styles_are_told_apart():
    labels = ["baseline", "coverage", "separation", "overlap", "a", "b", "c"]
    found = marks.subset_styles(labels[::-1])
    assert list(found) == labels
    assert len({colour for colour, _ in found.values()}) == len(labels)
    assert found["coverage"] == marks.STYLE["coverage"]
    every = marks.subset_styles([f"{a}+{b}" for a in "abcdef" for b in "ghijkl"])
    assert len(every) == 36
    assert np.all([len(style) == 2 for style in every.values()])


@pytest.mark.parametrize("name", ["null", "nan"])
def test_names_that_pandas_reads_as_no_value_are_refused(name):
    with pytest.raises(InputError, match=f"a loss is called '{name}', which pandas reads as no"):
        mlpspec.studies.paper().with_losses({name: Coverage()})
    # A store that has such runs can be read.
    stored = Definition.from_dict(name, {"class": "Soft", "fields": {}, "source": "0"})
    assert Study("old", {"losses": ((name,),)}, extensions={name: stored}).runs[0].label == name
