"""Readings: the draw, the stages, and how variants are judged."""

import time
from copy import copy

import numpy as np
import pytest
from helpers import finish, runs_csv, start_mlpspec, with_ones_own
from scipy.stats.contingency import association, crosstab

import mlpspec
from mlpspec import studies
from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.judging import judge_stated
from mlpspec.analysis.readings import COUNTED, cramers_v, decisive, judge_variants, shares
from mlpspec.cli import command as cli
from mlpspec.cli import run as of_command
from mlpspec.report.report import Report
from mlpspec.study import readings as of_study
from mlpspec.study import stages
from mlpspec.study.choices import first_of, options_of
from mlpspec.study.run import Run
from mlpspec.study.study import Study

FORMER = {choice: first_of(options) for choice, options in of_study.CHOICES.items()}


def test_draws_follow_from_the_seed_and_differ():
    drawn = of_study.draw(60)
    assert drawn == of_study.draw(60)
    assert drawn != of_study.draw(60, seed=16)
    settings = [of_study.reading_of(options) for options in drawn.values()]
    runs = {Run(**chosen) for chosen in settings} | {Run(), Run(**of_study.EARLIER)}
    assert len(runs) == 62
    changed = [sum(o[name] != FORMER[name] for name in FORMER) for o in drawn.values()]
    assert min(changed) == 1
    assert max(changed) == len(FORMER)


def test_every_option_is_a_setting_of_its_own():
    for choice, options in of_study.CHOICES.items():
        runs = [Run(**settings) for settings in options.values()]
        assert runs[0] == Run()
        assert len({run.key for run in runs}) == len(runs)
        for option, settings in options.items():
            assert options_of(settings, of_study.CHOICES) == FORMER | {choice: option}


def test_options_and_settings_say_the_same():
    study = of_study.readings()
    for name, options in of_study.draw().items():
        chosen = study.variants[name]
        found = options_of(chosen, of_study.CHOICES)
        assert "other" not in found.values()
        assert of_study.reading_of(found) == chosen
        # Of two spellings of one temperature of separation, the plainer one.
        same = {key: value for key, value in options.items() if found[key] == value}
        assert len(same) >= len(options) - 1


def test_stages_take_the_best_and_the_former_default():
    study = of_study.readings()
    order = ["r007", "r001", "former", *[f"r{n:03}" for n in range(10, 60)]]
    finalists = stages.next_stage(study, order)
    assert list(finalists.variants) == ["r007", "r001", "former", *order[3:21]]
    fresh = stages.next_stage(finalists, list(finalists.variants))
    assert list(fresh.variants) == ["r007", "r001", "former", "r010", "r011", "r012"]
    assert stages.next_stage(fresh, list(fresh.variants)) is None
    late = stages.next_stage(study, [*order[3:], "former"])
    assert list(late.variants) == [*order[3:23], "former"]
    seeds = [set(s.axes["seed"]) for s in (study, finalists, fresh)]
    seeds += [set(studies.paper().axes["seed"]), set(studies.confirm().axes["seed"])]
    assert sum(map(len, seeds)) == len(set.union(*seeds))


def test_sweeps_are_shared_by_variants_that_differ_in_the_swept_temperature():
    study = of_study.readings().replace(variants=["former", "earlier", "r001"])
    study = Study(
        "readings",
        study.axes,
        variants={**study.variants, "low": {"separation_temperature": 0.001}},
    )
    sweep = stages.separation_sweep(study)
    assert list(sweep.variants) == ["former", "earlier", "r001"]
    assert "separation_temperature" not in sweep.variants["earlier"]


AXES = {"losses": studies.paper().axes["losses"], "n_samples": (3, 5), "seed": range(4)}
VARIANTS = {
    "former": {},
    "steep": {"initializer": "steep"},
    "low": {"separation_temperature": 1e-4},
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A small study with variants, its sweep, and how it is judged."""
    out = tmp_path_factory.mktemp("readings")
    study = Study("readings", AXES, {"steps": 60}, variants=VARIANTS)
    results = mlpspec.run_study(study, out, n_jobs=1)
    mlpspec.run_study(stages.separation_sweep(study), out / "tau-sweep", n_jobs=1)
    return results, Analysis(out).readings


def test_a_variant_is_judged_as_if_it_were_alone(judged, tmp_path):
    _, table = judged
    for name, settings in VARIANTS.items():
        alone = Study("paper", AXES, {"steps": 60, **settings})
        mlpspec.run_study(alone, tmp_path / name, n_jobs=1)
        (evidence,) = Analysis(tmp_path / name).evidence
        (row,) = np.flatnonzero(table["variant"] == name)
        for verdict in judge_stated(evidence, repeats=0):
            if verdict.claim != "C8":
                assert table[verdict.claim][row] == verdict.verdict, (name, verdict)
                at = f"{len(verdict.met_at.split())}/2"
                assert table[f"{verdict.claim}_at"][row] == at
        assert table["C8"][row] in ("holds", "mixed", "fails")


def test_the_claims_of_a_variant_are_about_the_eight_subsets(judged):
    results, _ = judged
    own = copy(results)
    vars(own)["table"] = with_ones_own(results.table)
    for name, values in judge_variants(results, None).items():
        assert judge_variants(own, None)[name].tolist() == values.tolist(), name


def test_the_best_come_first(judged):
    _, table = judged
    holds = sum((table[claim] == "holds").astype(int) for claim in COUNTED)
    assert table["hold"].tolist() == holds.tolist()
    keys = list(zip(-table["hold"], -table["met"], table["changed"], strict=True))
    assert keys == sorted(keys)
    assert table["changed"][table["variant"] == "former"] == 0


def test_tables_name_what_was_set_for_all_variants(tmp_path):
    """As by ``run readings --set``, which counts for all variants."""
    study = Study("readings", {**AXES, "n_samples": (3,), "seed": (0,)}, variants=VARIANTS)
    study = study.replace(weight="0.3", steps="20")
    table = judge_variants(mlpspec.run_study(study, tmp_path, n_jobs=1), None)
    assert {*table["weight"]} == {"0.3"}
    assert {*table["training"]} == {"other"}
    assert sorted(zip(table["variant"], table["start"], table["changed"], strict=True)) == [
        ("former", "prototypes", 0),
        ("low", "prototypes", 1),
        ("steep", "steep", 1),
    ]


def test_without_its_sweep_c8_is_untested(judged):
    table = judge_variants(judged[0], None)
    assert set(table["C8"]) == {"untested"}


def test_tables_of_a_study_with_variants(judged):
    results, _ = judged
    Analysis(results.directory).write_tables()
    names = {path.name for path in results.directory.glob("*.csv")}
    assert {"readings.csv", "shares.csv", "choices.csv"} <= names
    assert not {"comparisons.csv", "nulls.csv", "claims.csv"} & names


def test_cramers_v_is_that_of_scipy():
    rng = np.random.default_rng(0)
    for n_options in (2, 3, 6):
        options = rng.integers(0, n_options, 50)
        holds = rng.random(50) < 0.2 + 0.6 * (options == 1)
        expected = association(crosstab(options, holds).count, method="cramer")
        assert cramers_v(options, holds) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(cramers_v(options, np.ones(50, dtype=bool)))
    assert np.isnan(cramers_v(np.zeros(50), holds))


def test_a_choice_that_decides_stands_out_from_chance():
    rng = np.random.default_rng(1)
    decides, idle = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    names = np.array(["mean", "per neuron", "sum"])
    verdicts = np.where(rng.random(200) < np.array([0.1, 0.9, 0.5])[decides], "holds", "mixed")
    table = {"overlap of pairs": names[decides], "separation of pairs": names[idle], "C6": verdicts}
    table["C1"] = np.full(200, "fails")  # no claim that any choice could decide
    found = decisive(table, of_study.CHOICES)
    by_choice = {
        name: {k: v[i] for k, v in found.items()} for i, name in enumerate(found["choice"])
    }
    first, second = by_choice["overlap of pairs"], by_choice["separation of pairs"]
    assert first["low"] > first["chance"]
    assert (first["best"], first["worst"]) == ("per neuron", "mean")
    assert second["association"] < 2 * second["chance"]
    assert set(found["claim"]) == {"C6"}
    share = shares(table)
    assert share["holds"].tolist() == [0, (verdicts == "holds").sum()]


@pytest.mark.parametrize(
    ("axes", "variants"),
    [
        ({"steps": (10, 20)}, VARIANTS),
        ({"neuron": ("ridge", "radial")}, VARIANTS),
        ({}, {"former": {}}),
        ({"steps": (10, 20)}, {"former": {}}),
        ({}, {"narrow": {"n_hidden": 2}, "wide": {"n_hidden": 6}}),
    ],
)
def test_a_report_is_made_whatever_varies_beside_variants(axes, variants, tmp_path):
    """Variants are judged where sizes alone vary, and drawn also where all choices are one."""
    axes = {**AXES, "n_samples": (3,), "seed": range(2), **axes}
    study = Study("mine", axes, {} if "steps" in axes else {"steps": 20}, variants=variants)
    mlpspec.run_study(study, tmp_path, n_jobs=1)
    page = Report(tmp_path).write(("svg",)).read_text()
    assert f"{len(variants)} variants" in page
    alone = len(axes) == len(AXES)
    assert bool(Analysis(tmp_path).readings) == alone
    assert (tmp_path / "figures" / "specification.svg").exists() == alone


def test_a_sweep_follows_from_any_study_with_variants(tmp_path):
    """Also where what it sweeps, or has as axes, is a setting, and at a temperature of all."""
    settings = {"steps": 20, "separation_temperature": 0.001, "n_samples": 3, "seed": 5}
    study = Study("readings", {"losses": AXES["losses"]}, settings, variants={"low": {}})
    assert {run.separation_temperature for run in stages.separation_sweep(study).runs} == {10.0}
    assert "seed" not in stages.next_stage(study, ["low"]).settings
    hot = {"steps": 20, "temperature": of_study.LARGE}
    study = Study("readings", AXES, hot, variants={"hot": {}})
    mlpspec.run_study(study, tmp_path, n_jobs=1)
    mlpspec.run_study(stages.separation_sweep(study), tmp_path / "tau-sweep", n_jobs=1)
    assert Analysis(tmp_path).readings["C8"].tolist() != ["untested"]


def test_seeds_of_a_later_stage_choose_nothing(tmp_path, capsys):
    command = ["run", "readings", "--variants", "former", "--out", str(tmp_path / "a")]
    for seeds, stage in (("1109:1111", "finalists"), ("1299,3", "fresh")):
        assert cli.main([*command, "--seeds", seeds]) == 2
        assert f"which is one of {stage}," in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_run_readings_goes_through_its_stages_and_on_where_it_stopped(tmp_path, monkeypatch):
    command = ["run", "readings", "--jobs", "2", "--sizes", "3", "--set", "steps=20"]
    command += ["--variants", "former,r002", "--out"]
    begun = start_mlpspec(*command, "a", cwd=tmp_path)
    while begun.poll() is None and not (tmp_path / "a/finalists/study.sqlite").exists():
        time.sleep(0.02)
    begun.kill()
    begun.wait()
    status, _, err = finish(start_mlpspec(*command, "a", cwd=tmp_path), tmp_path, timeout=300)
    assert status == 0, err
    with monkeypatch.context() as patch:  # undisturbed, and without pages, which take a while
        patch.setattr(of_command, "write_report", lambda *_, **__: None)
        assert cli.main([*command, str(tmp_path / "b")]) == 0
    for stage in (".", "tau-sweep", "finalists", "finalists/fresh", "finalists/fresh/tau-sweep"):
        assert runs_csv(tmp_path / "a" / stage) == runs_csv(tmp_path / "b" / stage)
    assert (tmp_path / "a/finalists/fresh/figures/specification.svg").exists()
    status, out, _ = finish(start_mlpspec(*command, "a", cwd=tmp_path), tmp_path)
    assert status == 0
    assert out.count("nothing to train") == 6


def test_a_dry_run_says_what_all_stages_take(tmp_path, capsys):
    out = str(tmp_path / "r")
    chosen = ["--variants", "former,earlier", "--sizes", "3", "--set", "steps=20"]
    assert cli.main(["run", "readings", "--dry-run", "--out", out, *chosen]) == 0
    told = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("  the kernel trains ") for line in told) == 6
    lines = [line for line in told if not line.startswith("  ")]
    assert [line.split(":")[0] for line in lines[:-1]] == [
        *("readings", "tau-sweep", "finalists", "tau-sweep", "fresh", "tau-sweep")
    ]
    # Two variants, eight subsets, one size; six, ten and a hundred seeds.
    assert [line.split()[1] for line in lines[:-1:2]] == ["96", "160", "1600"]
    assert not (tmp_path / "r").exists()
