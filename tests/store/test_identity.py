"""One run is stored once, in whatever form the values of its settings are given."""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import mlpspec
from mlpspec.analysis.analysis import Analysis
from mlpspec.cli import command as cli
from mlpspec.errors import InputError
from mlpspec.losses import StructuralLoss
from mlpspec.running.runner import missing_runs
from mlpspec.store.recovery import recover
from mlpspec.store.store import Record, Store
from mlpspec.study.extensions import Definition, define, load_loss
from mlpspec.study.run import Run
from mlpspec.study.study import Study


@dataclass(frozen=True)
class Soft(StructuralLoss):
    strength: float = 1.0
    power: int = 1
    sharp: bool = False
    limit: "float | None" = None
    order: int | None = None
    loose: Any = 0
    note: str | float = ""
    either: bool | float = 0.5

    def value_and_grad(self, forward):
        p = forward.prototypes
        scale = self.strength / p.shape[1]
        return scale * np.square(p).sum(axis=(1, 2)), {"prototypes": 2 * scale * p}


@dataclass(frozen=True, slots=True)
class Slotted(StructuralLoss):
    strength: "float" = 1.0

    def value_and_grad(self, forward):
        return Soft(self.strength).value_and_grad(forward)


def study(loss, **changes):
    axes = {"losses": ((), ("soft",)), "seed": (0, 1, 2)} | changes
    return Study("mine", axes, {"n_samples": 3, "steps": 4}, extensions={"soft": loss})


@pytest.mark.parametrize(
    ("field", "forms"),
    [
        ("strength", [2.0, 2, np.float64(2), np.int64(2), np.float32(2), "2", " 2e0 "]),
        ("strength", [1.0, 1, True, np.True_]),
        ("strength", [0.0, -0.0, 0, False]),
        ("power", [10, 1e1, np.int16(10), np.float64(10)]),
        ("power", [1, True, 1.0]),
        ("sharp", [True, 1, 1.0, np.True_]),
        ("limit", [3.0, 3, np.int64(3)]),
        ("order", [3, 3.0]),
        ("loose", [0.0, -0.0]),
    ],
)
def test_equal_values_of_a_field_have_one_form(field, forms):
    defined = [define("soft", Soft(**{field: form})) for form in forms]
    assert len({repr(each) for each in defined}) == 1
    assert len({repr(each.loss) for each in defined}) == 1  # what is trained
    assert len({run.key for each in defined for run in study(each, seed=(0,)).runs}) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("power", 2.5),
        ("power", "2.5"),
        ("sharp", 2),
        ("sharp", "False"),
        ("strength", 2**53 + 1),
        ("strength", 10**400),
        ("strength", "auto"),
        ("note", "2"),
        ("either", True),
        ("loose", "2"),
        ("loose", 2),
    ],
)
def test_what_the_declared_type_does_not_hold_stays(field, value):
    assert repr(dict(define("soft", Soft(**{field: value})).fields)[field]) == repr(value)


def test_a_loss_without_a_dictionary_has_one_form_too():
    given = Slotted(2)
    assert repr(define("soft", given).loss.strength) == "2.0"
    assert repr(given.strength) == "2"  # the caller's is left alone
    loss = load_loss("mlpspec.losses:Coverage(temperature=1)")
    assert repr(loss) == "Coverage(temperature=1.0)"
    assert define("soft", loss).loss is loss


def test_a_hidden_size_of_n_is_the_one_left_to_n():
    given, left = Run(n_hidden=10), Run()
    assert (given.key == left.key, given.meaning == left.meaning) == (False, True)
    assert Run(n_hidden=9).meaning != left.meaning
    both = Study("k", {"n_samples": (5, 10), "n_hidden": (None, 5, 10)}, {})
    sizes = [(run.n_samples, run.n_hidden) for run in both.runs]
    assert sizes == [(5, None), (5, 10), (10, None), (10, 5)]


def test_a_truth_value_of_numpy_is_no_number():
    with pytest.raises(InputError, match="must be a whole number"):
        Run(steps=np.True_)


def rewritten(directory, change):
    """Store runs again as an older version did that saw other settings in ``change``'s form."""
    with Store.open(directory, write=True) as store:
        rows = list(store.rows("runs"))
        session = store.begin_session(store_study(store), "2026-01-01", provenance(store))
        for row in rows:
            described = json.loads(row[1])
            before = json.dumps(described)
            change(described)
            if json.dumps(described) != before:
                key = Run(**described).key
                assert key != row[0]
                worse = json.dumps(dict.fromkeys(json.loads(row[6]), 7.0))
                again = [key, json.dumps(described), row[2], session, *row[4:6], worse, row[7]]
                store.restore("runs", [again])


def store_study(store):
    return Study(**store.sessions()[-1]["study"])


def provenance(store):
    apart = ("session", "started", "ended", "runs", "study")
    return {k: v for k, v in store.sessions()[-1].items() if k not in apart}


def as_int(described):
    for definition in described.get("definitions", {}).values():
        definition["fields"]["strength"] = 2


@pytest.fixture
def twice(tmp_path):
    """A directory as an older version left it: the runs of soft under two keys each."""
    mlpspec.run_study(study(Soft(2.0)), tmp_path / "r", n_jobs=1)
    rewritten(tmp_path / "r", as_int)
    return tmp_path / "r"


def test_a_field_in_another_form_trains_nothing_again(tmp_path):
    first = mlpspec.run_study(study(Soft(2.0)), tmp_path, n_jobs=1)
    again = mlpspec.run_study(study(Soft(2)), tmp_path, n_jobs=1)
    assert len(again.sessions) == 1
    assert list(again.runs) == list(first.runs)


def test_runs_under_an_older_key_count_as_done(tmp_path):
    old = Definition("soft", "Soft", define("soft", Soft(2)).fields, define("soft", Soft()).source)
    old = replace(old, fields=(("strength", 2), *old.fields[1:]), loss=Soft(2))
    first = mlpspec.run_study(study(old), tmp_path, n_jobs=1)
    asked = study(Soft(2.0), seed=(0, 1, 2, 3))
    assert {run.key for run in asked.runs if run.losses}.isdisjoint(first.runs)
    assert [run.seed for run in missing_runs(asked, tmp_path)[0]] == [3, 3]
    more = mlpspec.run_study(asked, tmp_path, n_jobs=1)
    assert [session["runs"] for session in more.sessions] == [6, 2]
    assert set(first.runs) < set(more.runs)
    assert more.summary()["runs"].tolist() == [4] * len(more.summary()["runs"])


def test_a_store_that_holds_runs_twice_counts_them_once(twice, capsys):
    before = mlpspec.load(twice)
    assert (len(before.runs), len(before.repeats)) == (6, 3)
    assert set(before.repeats.values()) < set(before.runs)
    assert not np.any(before.table["fit_mse"] == 7.0)  # the first results count
    assert set(before.summary()["runs"].tolist()) == {3}
    assert {keys.shape for keys, *_ in before.stacks()} == {(6,)}
    compared = Analysis(twice).comparisons_table()
    defined = compared["measurement"] != "false_killing_rate"  # nothing is inhibited at N = 3
    assert set(compared["pairs"][defined].tolist()) == {3}
    for key in before.repeats:  # nothing is deleted
        assert before.params(key).shape[1] == 3
    assert cli.main(["status", str(twice)]) == 0
    out = capsys.readouterr().out
    assert "repeated  3 more results are of runs that are stored again" in out
    for key, first in before.repeats.items():
        assert f"{key}, which repeats {first}" in out
    assert "asked     6 by the last session: 0 missing, 0 failed" in out
    after = mlpspec.run_study(study(Soft(2), seed=range(4)), twice, n_jobs=1)
    assert [session["runs"] for session in after.sessions] == [6, 3, 2]
    assert (len(after.runs), after.repeats) == (8, before.repeats)
    assert recover(twice, twice.with_name("new")).runs == 11
    assert mlpspec.load(twice.with_name("new")).repeats == before.repeats


def test_a_hidden_size_stored_in_two_forms_counts_once(tmp_path):
    mlpspec.run_study(study(Soft()), tmp_path, n_jobs=1)
    rewritten(tmp_path, lambda described: described.update(n_hidden=3))
    results = mlpspec.load(tmp_path)
    assert (len(results.runs), len(results.repeats)) == (6, 6)


def test_a_failure_does_not_count_beside_a_result(tmp_path):
    mlpspec.run_study(study(Soft(2.0)), tmp_path, n_jobs=1)
    first = mlpspec.load(tmp_path)
    rewritten(tmp_path, as_int)
    with Store.open(tmp_path, write=True) as store:
        failed = [[*r[:2], "failed", *r[3:7], "Error: no"] for r in store.rows("runs")]
        failed = [row for row in failed if row[0] in first.runs and first.runs[row[0]].losses]
        with store._db:
            store._db.executemany("DELETE FROM runs WHERE key = ?", [row[:1] for row in failed])
        store.restore("runs", failed)
    after = mlpspec.load(tmp_path)
    assert set(after.repeats) == {row[0] for row in failed}
    assert set(after.status.values()) == {"ok"}


def test_a_failed_run_is_tried_again_under_its_own_key(tmp_path):
    runs = study(Soft(2.0)).runs
    old = [replace(run, definitions=_as_int(run.definitions)) for run in runs]
    with Store.create(tmp_path, study(Soft(2.0))) as store:
        session = store.begin_session(study(Soft(2.0)), "2026-01-01", {})
        store.add([Record(run, "failed", error="no") for run in old], session)
    assert missing_runs(study(Soft(2.0)), tmp_path)[0] == list(runs)
    after = mlpspec.run_study(study(Soft(2.0)), tmp_path, n_jobs=1)
    assert set(after.runs) == {run.key for run in old}
    assert set(after.status.values()) == {"ok"}
    assert after.repeats == {}


def _as_int(definitions):
    return tuple(replace(each, fields=(("strength", 2), *each.fields[1:])) for each in definitions)


@pytest.mark.parametrize("path", ["./a.csv", "folder/../a.csv", "ABSOLUTE"])
def test_a_file_is_one_by_whatever_path(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.csv").write_text("a,b\n1,2\n2,1\n3,5\n4,2\n")
    path = str(tmp_path / "a.csv") if path == "ABSOLUTE" else path

    def of(place):
        settings = {"n_samples": 3, "steps": 4, "columns": "a", "target": "column:b"}
        return Study("file", {"seed": (0, 1)}, settings | {"dataset": f"file:{place}"})

    mlpspec.run_study(of("a.csv"), tmp_path / "r", n_jobs=1)
    assert len(mlpspec.run_study(of(path), tmp_path / "r", n_jobs=1).sessions) == 1
    assert [run.meaning for run in of(path).runs] == [run.meaning for run in of("a.csv").runs]
