"""Did I reproduce it? What differs between two results directories is found, and said."""

import shutil

import numpy as np
import pytest

import mlpspec
from mlpspec.analysis.analysis import Analysis
from mlpspec.analysis.difference import difference, read_side
from mlpspec.cli import command as cli
from mlpspec.errors import InputError
from mlpspec.store.database import FILE_NAME
from mlpspec.store.store import Record, Store
from mlpspec.store.tables import read_csv, write_csv
from mlpspec.study.study import Study

STUDY = Study("mine", {"seed": (0, 1, 2)}, {"n_samples": 3, "steps": 0})
ABOUT = {"mlpspec": "1", "numpy": "2.1.0", "python": "3.11", "jobs": 1, "processor": "chip"}


def made(place, values=(1.0, 2.0, 3.0), params=0.0, status="ok", study=STUDY, about=ABOUT):
    data = np.zeros((3, 1)), np.zeros(3)
    records = [
        Record(run, status, *data, np.full(10, params), {"fit_mse": value, "seconds": params})
        for run, value in zip(study.runs, values, strict=False)
    ]
    with Store.create(place, study) as store:
        store.add(records, store.begin_session(study, "2026-01-01", about))
    return place


def found(first, second, tolerance=0.01):
    return difference(read_side(first), read_side(second), tolerance)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A small grid with its tables, and the same as it is published: without its store."""
    place = tmp_path_factory.mktemp("grid")
    study = mlpspec.studies.paper().replace(n_samples=(3,), seed=(0, 1, 2), steps=20)
    mlpspec.run_study(study, place / "stored", n_jobs=1)
    Analysis(place / "stored").write_tables()
    shutil.copytree(place / "stored", place / "tables")
    (place / "tables" / FILE_NAME).unlink()
    return place


def test_a_directory_is_like_itself_and_like_its_tables(grid):
    stored = read_side(grid / "stored")
    itself = difference(stored, stored, 0.0)
    assert itself.alike
    assert itself.bits == (24, 24)
    assert itself.judged["both"] == 16
    tables = difference(stored, read_side(grid / "tables"), 0.0)
    assert tables.alike
    assert tables.bits is None
    assert (tables.runs["both"], tables.settings, tables.made_with) == (24, {}, [])
    assert tables.judged == itself.judged
    assert {apart.largest for apart in tables.measurements} == {0.0}
    assert "seconds" not in {apart.name for apart in tables.measurements}
    assert len(tables.measurements) == 24


def test_a_number_and_a_verdict_that_differ_are_found(grid, tmp_path):
    other = shutil.copytree(grid / "tables", tmp_path / "other")
    table = read_csv(other / "runs.csv")
    table["min_slope"][5] += 0.5
    table["usage_ratio"][7] = np.nan
    write_csv(other / "runs.csv", table)
    claims = read_csv(other / "claims.csv")
    verdict = str(claims["verdict"][4])
    claims["verdict"] = claims["verdict"].astype(object)
    claims["verdict"][4] = "undetermined"
    write_csv(other / "claims.csv", claims)
    seen = found(grid / "tables", other)
    apart = {each.name: each for each in seen.measurements if each.largest}
    assert set(apart) == {"min_slope", "usage_ratio"}
    slope = table["min_slope"][5]
    assert apart["min_slope"].largest == pytest.approx(0.5 / max(1.0, slope))
    assert apart["usage_ratio"].largest == np.inf  # undefined on one side alone
    assert [each.beyond for each in apart.values()] == [1, 1]
    assert seen.beyond == 2
    assert seen.worst.startswith(f"usage_ratio of {table['key'][7]} (")
    ((mine, theirs),) = seen.flips
    assert (mine.verdict, theirs.verdict) == (verdict, "undetermined")
    assert not seen.alike


@pytest.mark.parametrize(
    ("changed", "alike", "beyond", "bits"),
    [
        ({}, True, 0, 3),
        ({"params": 1.0}, True, 0, 0),
        ({"values": (1.0, 2.0, 3.02)}, True, 0, 3),  # relative above 1
        ({"values": (1.0, 2.0, 3.04)}, False, 1, 3),
        ({"values": (1.0, np.nan, 3.0)}, False, 1, 3),
        ({"status": "diverged"}, False, 3, 3),
        ({"values": (1.0, 2.0)}, False, 0, 2),  # a run less
    ],
)
def test_alike_within_the_tolerance(tmp_path, changed, alike, beyond, bits):
    seen = found(made(tmp_path / "a"), made(tmp_path / "b", **changed))
    assert (seen.alike, seen.beyond, seen.bits[0]) == (alike, beyond, bits)
    with pytest.raises(InputError, match="the tolerance is -1; it must be at least 0"):
        found(tmp_path / "a", tmp_path / "b", -1.0)


def test_settings_losses_versions_and_runs_of_one_side(tmp_path):
    first = STUDY.with_losses({"mine": mlpspec.losses.HardCoverage()})
    second = STUDY.replace(seed=range(20), steps=5)
    second = second.with_losses({"mine": mlpspec.losses.LogRepulsion()}, ["baseline"])
    a = made(tmp_path / "a", study=first)
    b = made(tmp_path / "b", [1.0] * 20, study=second, about={**ABOUT, "numpy": "2.2.0"})
    seen = found(a, b)
    assert seen.runs == {"both": 0, "first": 3, "second": 20}
    assert not seen.alike
    assert seen.settings["steps"] == ("0", "5")
    assert seen.settings["seed"] == ("0, 1, 2", "20 values, 0 to 19")
    assert "HardCoverage" in seen.settings["loss mine"][0]
    assert "n_hidden" not in seen.settings
    assert seen.made_with == ["numpy 2.1.0 in A, 2.2.0 in B"]
    assert found(b, a).runs == {"both": 0, "first": 20, "second": 3}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("runs.csv", "", "is not a table of runs"),
        ("runs.csv", "a,b\n1,2\n", "is not a table of runs .no column key"),
        ("runs.csv", "key,status\n1\n", "is not a table of runs"),
        (
            "runs.csv",
            "key,losses,n_samples,seed,status,fit_mse\na,baseline,3,0,ok,low\n",
            "the column fit_mse is not of numbers",
        ),
        ("claims.csv", "claim\nC1\n", "claims.csv is not a table of verdicts"),
        ("provenance.json", "[", "provenance.json is not what mlpspec wrote"),
        ("provenance.json", '{"sessions": [{"runs": 1, "study": {}}]}', "not what mlpspec wrote"),
        (
            "provenance.json",
            '{"sessions": [{"runs": 1, "study": {"name": "a", "extensions": {"b": 3}}}]}',
            "not what mlpspec wrote",
        ),
        ("provenance.json", '{"sessions": [3]}', "provenance.json is not what mlpspec wrote"),
    ],
)
def test_damaged_tables_are_named(grid, tmp_path, file, text, message):
    other = shutil.copytree(grid / "tables", tmp_path / "other")
    (other / file).write_text(text)
    with pytest.raises(InputError, match=message):
        found(grid / "tables", other)


def test_a_damaged_session_of_a_store_is_named(tmp_path):
    place = made(tmp_path / "a")
    with Store.open(place, write=True) as store:
        store.restore("sessions", [[2, "2026-01-02", None, "[1]", "{}"]])
    with pytest.raises(InputError, match=f"a session of {place} is damaged"):
        found(place, place)


def test_what_diff_prints(grid, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(grid)
    assert cli.main(["diff", "tables", "tables", "--tolerance", "0"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1] == "B         tables: paper, 24 runs; no store, its tables serve"
    assert "runs      24 in both, 0 in A alone, 0 in B alone" in out
    assert "bits      cannot be compared: parameters are in the stores alone" in out
    assert out[-1] == "reproduced: 24 of 24 runs agree within 0, 16 of 16 verdicts are the same"
    a, b = made(tmp_path / "a"), made(tmp_path / "b", (1.0, 2.0, 4.0), params=1.0)
    assert cli.main(["diff", str(a), str(b)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "not reproduced: 2 of 3 runs agree within 0.01, 0 to the bit"
    assert any(line.split() == ["fit_mse", "0.25", "0", "1"] for line in out)
    assert cli.main(["diff", str(a), str(made(tmp_path / "c", (1.0, 2.0)))]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("reproduced as far as both go: 2 of 2 runs agree within 0.01, 2 to the")
    assert last.endswith(", 1 runs are in one alone")
