"""Runs of several directories in one: nothing is lost, nothing is chosen without being asked."""

import json
import shutil
import sqlite3

import numpy as np
import pytest
from helpers import runs_csv, same_bits

import mlpspec
from mlpspec.errors import InputError
from mlpspec.losses import HardCoverage
from mlpspec.store.database import FILE_NAME
from mlpspec.store.merge import differing, joined, made_with, merge
from mlpspec.store.results import Results
from mlpspec.store.store import Record, Store
from mlpspec.study.study import Study

SMALL = mlpspec.studies.paper().replace(n_samples=(3,), steps=20, record_every=10)
MINE = Study("mine", {"seed": (0, 1)}, {"n_samples": 3, "steps": 0})
ABOUT = {"mlpspec": "1", "numpy": "2.1.0", "python": "3.11", "jobs": 1, "processor": "chip"}


def record(run, value=1.0, status="ok", seconds=0.1, curve=False):
    if status == "failed":
        return Record(run, status, error="Traceback: no")
    params = np.full(10, value)
    arrays = {"steps": np.arange(2), "params": np.zeros((2, 10))} if curve else None
    measured = {"fit_mse": value, "seconds": seconds}
    return Record(run, status, np.zeros((3, 1)), np.zeros(3), params, measured, arrays)


def made(place, *records, study=MINE, about=ABOUT):
    with Store.create(place, study) as store:
        store.add(records, store.begin_session(study, "2026-01-01", about))
    return place


def content(*places):
    return {path: path.read_bytes() for at in places for path in at.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """A study at once, and by seeds in two directories, each with a companion inside."""
    place = tmp_path_factory.mktemp("split")
    placebo = mlpspec.studies.placebo().replace(n_samples=(3,), steps=5)
    for name, seeds in {"whole": (0, 1, 2), "first": (0, 2), "second": (1,)}.items():
        mlpspec.run_study(SMALL.replace(seed=seeds), place / name, n_jobs=1)
        mlpspec.run_study(placebo.replace(seed=seeds), place / name / "placebo", n_jobs=1)
    return place


def test_a_study_split_by_seeds_and_merged_is_the_study_run_at_once(split, tmp_path):
    sources = [split / "first", split / "second"]
    before = content(*sources)
    main, inner = merge(sources, tmp_path / "merged", about=ABOUT)
    assert content(*sources) == before
    assert [*main.runs.values()] == [16, 8]
    assert (main.repeated, main.missing, main.apart, main.preferred) == (0, 0, [], [])
    assert str(inner.folder) == "placebo"
    for folder in (".", "placebo"):
        merged, whole = tmp_path / "merged" / folder, split / "whole" / folder
        assert runs_csv(merged) == runs_csv(whole)
        tables = [(at / "summary.csv").read_text().splitlines() for at in (merged, whole)]
        timeless = [[line for line in table if "seconds" not in line] for table in tables]
        assert timeless[0] == timeless[1]
        one, other = mlpspec.load(merged), mlpspec.load(whole)
        assert one.identity == other.identity
        assert {run.key for run in one.study.runs} == {run.key for run in other.study.runs}
        assert all(map(one.has_curve, one.runs)) == (folder == ".")
        for key in other.runs:
            assert same_bits(one.params(key).flatten(), other.params(key).flatten())
            assert all(map(same_bits, one.dataset(key), other.dataset(key)))
            if folder == ".":
                mine, theirs = one.curve(key), other.curve(key)
                assert same_bits(mine.params.flatten(), theirs.params.flatten())
                assert [*mine.values] == [*theirs.values]
                assert all(map(same_bits, mine.values.values(), theirs.values.values()))


def test_a_merged_directory_goes_on(split, tmp_path):
    merge([split / "second", split / "first"], tmp_path / "merged", about=ABOUT)
    merged = mlpspec.load(tmp_path / "merged")
    sources = [mlpspec.load(split / name) for name in ("second", "first")]
    kept = ("started", "ended", "runs", "study", "numpy", "engine", "command")
    assert [[session[name] for name in kept] for session in merged.sessions[:2]] == [
        [source.sessions[0][name] for name in kept] for source in sources
    ]
    last = merged.sessions[-1]
    assert last["merged"] == {str(split / "second"): [1], str(split / "first"): [2]}
    assert (last["runs"], last["engine"]) == (0, sources[0].sessions[-1]["engine"])
    again = mlpspec.run_study(SMALL.replace(seed=(0, 1, 2)), tmp_path / "merged", n_jobs=1)
    assert len(again.sessions) == 3
    more = mlpspec.run_study(SMALL.replace(seed=(3,)), tmp_path / "merged", n_jobs=1)
    assert (len(more.runs), more.sessions[-1]["runs"]) == (32, 8)


def test_other_bits_are_refused_and_named_or_the_first_is_preferred(tmp_path):
    run, other = MINE.runs
    a = made(tmp_path / "a", record(run, 1.0), record(other, 3.0, seconds=1.0))
    b = made(tmp_path / "b", record(run, 2.0), record(other, 3.0, seconds=2.0))
    with pytest.raises(InputError, match="bits in 1 runs") as error:
        merge([a, b], tmp_path / "c")
    assert f"{run.key} (baseline, N = 3, seed 0) between {a} and {b}" in str(error.value)
    assert "in final parameters, measurements" in str(error.value)
    assert other.key not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    for sources, value in (([a, b], 1.0), ([b, a], 2.0)):
        (merged,) = merge(sources, tmp_path / f"c{value}", prefer_first=True)
        assert merged.preferred == [run.key]
        results = mlpspec.load(tmp_path / f"c{value}")
        assert results.params(run.key).flatten()[0, 0] == value
        assert results.sessions[-1]["preferred"] == [run.key]


@pytest.mark.parametrize("what", ["data", "status", "curve"])
def test_whatever_differs_is_seen(tmp_path, what):
    run = MINE.runs[0]
    one, other = record(run, curve=True), record(run, curve=True)
    if what == "data":
        object.__setattr__(other, "x", np.ones((3, 1)))
    elif what == "status":
        object.__setattr__(other, "status", "diverged")
    else:
        other.curve["params"][1] = 1e-300
    sources = [made(tmp_path / "a", one), made(tmp_path / "b", other)]
    with pytest.raises(InputError, match=f" in {what}[.]"):
        merge(sources, tmp_path / "c")


def test_a_result_counts_before_a_failure_and_a_curve_comes_along(tmp_path):
    run, other = MINE.runs
    a = made(tmp_path / "a", record(run, status="failed"), record(other, 2.0))
    b = made(tmp_path / "b", record(run, 1.0), record(other, 2.0, curve=True))
    for name, sources in {"ab": [a, b], "ba": [b, a]}.items():
        merge(sources, tmp_path / name)
        results = mlpspec.load(tmp_path / name)
        assert results.status == {run.key: "ok", other.key: "ok"}
        assert results.has_curve(other.key)


def test_studies_must_be_one(tmp_path):
    a = made(tmp_path / "a", record(MINE.runs[0]))
    hard = Study("mine", {"seed": (0,)}, MINE.settings).with_losses({"hard": HardCoverage()})
    harder = hard.with_losses({"hard": HardCoverage()})
    object.__setattr__(
        harder,
        "extensions",
        {"hard": type(hard.extensions["hard"])("hard", "HardCoverage", (), "another")},
    )
    own = made(tmp_path / "own", study=hard)
    variants = {"x": {}, "y": {"weight": 2.0}}
    some = made(tmp_path / "v", study=Study("mine", MINE.axes, MINE.settings, variants=variants))
    others = {"x": {"weight": 2.0}, "z": {"weight": 3.0}}
    clash = Study("mine", MINE.axes, MINE.settings, variants=others)
    for first, second, message in [
        (a, made(tmp_path / "s", study=MINE.replace(steps=9)), "was made with steps=9, not 0"),
        (a, made(tmp_path / "n", study=Study("other", MINE.axes, MINE.settings)), "study 'other'"),
        (a, made(tmp_path / "x", study=MINE.replace(steps=(1, 2))), "it varies losses, n_samples"),
        (own, made(tmp_path / "l", study=harder), "its loss hard is HardCoverage.., source anoth"),
        (some, made(tmp_path / "w", study=clash), "the variant x has the settings"),
    ]:
        with pytest.raises(InputError, match=message):
            merge([first, second], tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_variants_and_losses_are_joined(tmp_path):
    def of(*names, **losses):
        variants = {"x": {}, "y": {"weight": 2.0}, "z": {"weight": 3.0}}
        chosen = {name: variants[name] for name in names}
        return Study("mine", MINE.axes, MINE.settings, variants=chosen).with_losses(losses)

    first, second = of("x", "y", hard=HardCoverage()), of("z", "y")
    sources = [
        made(tmp_path / str(number), *map(record, study.runs), study=study)
        for number, study in enumerate([first, second])
    ]
    (merged,) = merge(sources, tmp_path / "c")
    results = mlpspec.load(tmp_path / "c")
    assert set(results.runs) == {run.key for study in (first, second) for run in study.runs}
    assert (merged.repeated, merged.missing) == (2, 2)  # of y both, of z none with the loss
    assert {*results.table["variant"]} == {"x", "y", "z"}
    assert [*results.study.variants] == ["x", "y", "z"]
    assert [*results.study.extensions] == ["hard"]


def test_joined_axes_and_settings():
    first = Study("mine", {"seed": (5, 6)}, {"n_samples": 3})
    second = Study("mine", {"seed": (6, 1), "n_samples": (5,)}, {})
    study = joined([first, second])
    assert study.axes == {"seed": (5, 6, 1), "n_samples": (3, 5)}
    assert study.identity == first.identity
    assert joined([first, first]) == first
    assert joined([]) is None


def test_an_interrupted_merge_leaves_nothing(tmp_path, monkeypatch):
    a = made(tmp_path / "a", record(MINE.runs[0]))
    b = made(tmp_path / "b", record(MINE.runs[1]))

    def interrupted(results):
        assert len(results.runs) == 2  # all was written, but for the tables
        raise KeyboardInterrupt

    monkeypatch.setattr(Results, "write_tables", interrupted)
    with pytest.raises(KeyboardInterrupt):
        merge([a, b], tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_old_stores_damaged_ones_and_links_that_lead_up(tmp_path):
    a, b = (made(tmp_path / n, record(run)) for n, run in zip("ab", MINE.runs, strict=True))
    (a / "loop").symlink_to(a)
    (b / "tau").mkdir()
    (b / "tau" / "runs.csv").write_text("key\n")
    old = tmp_path / "old"  # a store of schema version 1 has no checksums
    shutil.copytree(b, old)
    with sqlite3.connect(old / FILE_NAME) as database:
        for table in ("identity", "sessions", "datasets", "runs", "curves"):
            database.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
        database.execute("PRAGMA user_version = 1")
    database.close()
    (merged,) = merge([a, old, b], tmp_path / "c")
    assert ([*merged.runs.values()], merged.repeated) == ([1, 1, 0], 1)
    assert set(mlpspec.load(tmp_path / "c").runs) == {run.key for run in MINE.runs}
    with sqlite3.connect(b / FILE_NAME) as database:
        database.execute("UPDATE runs SET status = 'diverged'")
    database.close()
    with pytest.raises(InputError, match=r"does not fit its checksum.*mlpspec recover"):
        merge([a, b], tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_what_sources_were_made_with_is_told_apart(tmp_path):
    run, other = MINE.runs
    a = made(tmp_path / "a", record(run))
    b = made(tmp_path / "b", record(other), about={**ABOUT, "numba": "0.61", "numpy": "2.2.0"})
    (merged,) = merge([a, b], tmp_path / "c")
    assert merged.apart == [
        f"engine numpy in {a}, compiled in {b}",
        f"numpy 2.1.0 in {a}, 2.2.0 in {b}",
    ]
    both = made_with(json.loads((tmp_path / "c" / "provenance.json").read_text())["sessions"])
    assert both["engine"] == "numpy and compiled"
    assert differing({"x": both, "y": both}) == []
