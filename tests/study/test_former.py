"""The named studies after the change of their reading: what was made before stays of use."""

import json
import shutil

import numpy as np
import pytest
from helpers import ROOT

import mlpspec
from mlpspec import studies
from mlpspec.analysis.comparisons import where
from mlpspec.analysis.readings import COUNTED
from mlpspec.cli import command as cli
from mlpspec.cli import run as of_command
from mlpspec.store.tables import read_csv
from mlpspec.study.readings import CHOSEN, readings
from mlpspec.study.run import SETTINGS, Run

SMALL = ["--sizes", "3", "--seeds", "0:2", "--jobs", "1", "--quiet"]
STAGES = (".", "finalists", "finalists/fresh")
OLD = [f"{name}={SETTINGS[name].default}" for name in studies.READING]


def test_the_former_default_has_the_keys_of_before():
    former = {run.key for run in studies.former().runs}
    assert former == {
        Run(losses=r.losses, n_samples=r.n_samples, seed=r.seed).key for r in studies.paper().runs
    }
    assert not former & {run.key for run in studies.paper().runs if run.losses}


def test_named_studies_share_the_reading():
    for name, study in studies.STUDIES.items():
        if name in ("former", "readings"):
            continue
        for setting, value in studies.READING.items():
            one = name in ("tau-sweep", "collapse", "attractors")
            expected = None if one and setting == "separation_temperature" else value
            assert study().settings[setting] == expected, name


def test_how_the_default_was_chosen_is_what_the_readings_say(tmp_path):
    """The text of reports and provenance against the committed tables."""
    tables = [read_csv(ROOT / "results/readings" / stage / "readings.csv") for stage in STAGES]
    drawn = readings().variants.items()
    (name,) = (variant for variant, settings in drawn if settings == studies.READING)
    ranks = [table["variant"].tolist().index("former") + 1 for table in tables]
    last = dict(zip(tables[2]["variant"].tolist(), tables[2]["hold"].tolist(), strict=True))
    assert tables[2]["variant"][0] == name  # the best on the last seeds, with the fewest changes
    assert f"{ranks[0]}st of {len(tables[0]['hold'])}, then {ranks[1]}st of 21" in CHOSEN
    assert f"keeps {last[name]} of the claims C1 to C8" in CHOSEN
    assert f"keeps {last['former']} on the last seeds" in CHOSEN
    # That of the seeds that chose nothing; the former default's runs on them are not kept.
    claims = read_csv(ROOT / "results" / "confirm" / "claims.csv")
    stated = where(claims, basis="stated, means")
    counted = np.isin(stated["claim"], COUNTED)
    held = (stated["verdict"][counted] == "holds").sum()
    assert f"which chose nothing, both keep {held}." in CHOSEN
    study = studies.paper().replace(n_samples=(3,), seed=(0,), steps=1)
    (session,) = mlpspec.run_study(study, tmp_path / "a", n_jobs=1).sessions
    assert session["reading"] == CHOSEN
    former = studies.former().replace(n_samples=(3,), seed=(0,), steps=1)
    assert "reading" not in mlpspec.run_study(former, tmp_path / "b", n_jobs=1).sessions[0]


@pytest.mark.parametrize("name", ["tau-sweep", "placebo", "trajectories"])
def test_companions_follow_their_study(name):
    for of in ("paper", "former"):
        inner = studies.companion(name, studies.CHANGED.get(of, {}))
        for setting, value in studies.READING.items():
            expected = value if of == "paper" else SETTINGS[setting].default
            if name == "tau-sweep" and setting == "separation_temperature":
                expected = None
            assert {getattr(run, setting) for run in inner.runs} == {expected}
    assert studies.companion("tau-sweep", studies.CHANGED["confirm"]).axes["seed"][0] == 100


def test_a_directory_of_before_is_refused_with_what_continues_it(tmp_path, monkeypatch, capsys):
    """An old ``paper`` has the defaults of a run; the command in the message goes on with it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(of_command, "write_report", lambda *_, **__: None)  # it takes a while
    old = studies.former().replace(n_samples=(3,), seed=(0,))
    old = mlpspec.Study("paper", old.axes)
    mlpspec.run_study(old.replace(steps=20), tmp_path / "p", n_jobs=1)
    steps = ["--set", "steps=20"]
    command = ["run", "paper", *SMALL, "--out", "p"]
    assert cli.main([*command, *steps]) == 2
    err = capsys.readouterr().err
    told = err.partition("continue it with ")[2].partition(", or give")[0]
    assert told == f"--set {' '.join(sorted(OLD))}"
    assert cli.main([*command, *steps, *told.split()[1:]]) == 0
    results = mlpspec.load(tmp_path / "p")
    assert len(results.runs) == 16
    assert len(results.sessions) == 2
    assert results.sessions[1]["runs"] == 8  # one seed was there
    provenance = json.loads((tmp_path / "p/placebo/provenance.json").read_text())
    assert set(OLD).isdisjoint(provenance["settings"])


def test_stored_results_of_before_are_complete_for_the_former_study(tmp_path):
    """The committed grid of the former default lacks no run of the study of that name."""
    source = ROOT / "results" / "former"
    shutil.copytree(source, tmp_path / "former", symlinks=True)
    results = mlpspec.load(tmp_path / "former")
    assert set(results.runs) == {run.key for run in studies.former().runs}
