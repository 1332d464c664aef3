"""Variants: sets of settings beside the axes of a study, in one results directory."""

import numpy as np
import pytest

import mlpspec
from mlpspec.analysis.comparisons import Grid
from mlpspec.cli import command as cli
from mlpspec.errors import InputError
from mlpspec.study.study import Study

AXES = {"losses": ((), ("overlap",)), "n_samples": (3, 4), "seed": range(2)}
VARIANTS = {
    "former": {},
    "spaced": {"initializer": "spaced", "weight": 0.3},
    "short": {"steps": 7},
}


def study(variants=VARIANTS, **settings):
    return Study("readings", AXES, {"steps": 20, **settings}, variants=variants)


def test_the_product_is_run_for_each_variant():
    runs = study().runs
    assert len(runs) == len({run.key for run in runs}) == 3 * 8
    for number, (name, chosen) in enumerate(VARIANTS.items()):
        plain = Study("readings", AXES, {"steps": 20, **chosen})
        mine = runs[8 * number : 8 * number + 8]
        assert mine == plain.runs
        assert {study().variant_of[run.key] for run in mine} == {name}
    assert Study.from_json(study().to_json()) == study()
    assert len(study().replace(steps=5, variants=["former", "spaced"]).runs) == 16


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"a": {}, "b": {"weight": 0.1}}, "the variants a and b of readings are the same"),
        ({"a": {"temperature": 0.2}, "b": {"temperature": 0.2, "separation_temperature": 0.2}}, ""),
        ({"a b": {}}, "a variant of readings is called 'a b'; use lower-case letters"),
        ({"a": {"seed": 3}}, "the variant a of readings sets seed, which is an axis"),
        ({"a": {"losses": ()}}, "sets losses, which is an axis"),
        ({"a": {"record_every": 3}}, "no matter of variants; leave it out"),
        ({"a": {"wieght": 1}}, "unknown setting 'wieght'; did you mean 'weight'?"),
        ([{"weight": 1}], "variants map names to settings; give a dict of dicts"),
        ({"a": 3}, "variants map names to settings; give a dict of dicts"),
        ({"a": {"weight": -1}}, "weight is -1; it must be at least 0"),
    ],
)
def test_bad_variants_get_one_line(variants, message):
    with pytest.raises(InputError) as error:
        study(variants)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_set_for_all_may_make_variants_equal():
    with pytest.raises(InputError, match="the variants former and short of readings are the same"):
        study().replace(steps=5)
    with pytest.raises(InputError, match="unknown variant 'formre'; did you mean 'former'"):
        study().replace(variants=["formre"])


@pytest.mark.parametrize(
    ("axes", "settings"),
    [
        ({}, {"n_hidden": 4}),
        ({"temperature": (0.1, 0.2)}, {"separation_temperature": 0.2}),
    ],
)
def test_a_run_of_two_variants_is_refused(axes, settings):
    """It would have the name of the first, and the second would lack it without a word."""
    variants = {"plain": {}, "other": settings}
    shared = Study("readings", {**AXES, **axes}, {"steps": 20}, variants=variants)
    with pytest.raises(InputError, match=r"variants plain and other of readings share a run \("):
        _ = shared.runs


def test_a_study_without_variants_has_none_to_choose():
    with pytest.raises(InputError, match="paper has no variants to choose from"):
        mlpspec.studies.paper().replace(variants=["former"])


def test_an_unknown_variant_is_one_line_that_can_be_read():
    with pytest.raises(InputError) as error:
        mlpspec.studies.readings().replace(variants=["nothing-like-it"])
    assert len(str(error.value)) < 500


def test_a_name_means_one_set_of_settings_in_a_directory(tmp_path):
    mlpspec.run_study(study({"a": {}, "b": {"weight": 0.3}}), tmp_path, n_jobs=1)
    for other in ({"a": {"weight": 0.5}}, {"b": {}, "c": {"weight": 0.4}}):
        with pytest.raises(InputError, match=r"has the variant . with .* give it another name"):
            mlpspec.run_study(study(other), tmp_path, n_jobs=1)
    # Written otherwise, but the same.
    same = study({"b": {"weight": 0.3, "separation_temperature": 0.01}, "c": {"weight": 0.4}})
    results = mlpspec.run_study(same, tmp_path, n_jobs=1)
    found = set(
        zip(results.table["variant"].tolist(), results.table["weight"].tolist(), strict=True)
    )
    assert found == {("a", 0.1), ("b", 0.3), ("c", 0.4)}


def test_tables_name_the_variant(tmp_path):
    results = mlpspec.run_study(study(), tmp_path, n_jobs=1)
    table = results.table
    for key, name in zip(table["key"], table["variant"], strict=True):
        run = results.runs[key]
        expected = {"steps": 20, "initializer": "uniform_prototypes", "weight": 0.1}
        for setting, value in (expected | VARIANTS[name]).items():
            assert getattr(run, setting) == value
    assert "variant" in (tmp_path / "runs.csv").read_text().splitlines()[0].split(",")
    assert (tmp_path / "summary.csv").read_text().startswith("variant,losses,n_samples,steps,")
    grid = Grid(table)
    assert grid.fields == ("n_samples", "variant")
    assert len(grid.cells) == 6
    values = grid.values((3, "spaced"), "overlap", "fit_mse")
    assert np.isfinite(values).all()
    assert values.shape == (2,)


def test_variants_may_be_added_and_only_they_train(tmp_path):
    two = {name: VARIANTS[name] for name in ("former", "short")}
    mlpspec.run_study(study(two), tmp_path, n_jobs=1)
    results = mlpspec.run_study(study(), tmp_path, n_jobs=1)
    assert [session["runs"] for session in results.sessions] == [16, 8]
    assert {*results.table["variant"]} == {*VARIANTS}
    for other in (study(), study(weight=0.3), Study("readings", AXES, {"steps": 20})):
        if other != study():
            with pytest.raises(InputError, match="give another directory"):
                mlpspec.run_study(other, tmp_path, n_jobs=1)
    alone = mlpspec.run_study(study({"short": {"steps": 7}}), tmp_path, n_jobs=1)
    assert len(alone.sessions) == 2  # nothing was missing


def test_a_study_file_writes_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import mlpspec\n"
        f"STUDY = mlpspec.Study('mine', {AXES!r}, {{'steps': 20}}, variants={VARIANTS!r})\n"
    )
    command = ["run", "mine.py", "--only", "--jobs", "1", "--out", "r"]
    assert cli.main([*command, "--variants", "short,former"]) == 0
    assert "16 runs" in capsys.readouterr().out
    assert {*mlpspec.load(tmp_path / "r").table["variant"]} == {"short", "former"}
