"""Stores and tables that are kept compressed are read, extended and saved as others are."""

import gzip
import os
import shutil

import pytest
from helpers import same_bits

import mlpspec
from mlpspec.cli import command as cli
from mlpspec.store.database import FILE_NAME
from mlpspec.store.recovery import recover
from mlpspec.store.tables import read_csv
from mlpspec.study.study import Study

STUDY = Study("packed", {"seed": range(40)}, {"n_samples": 3, "steps": 5})
RUN = {"n_jobs": 1, "engine": "numpy"}


def pack(path):
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "plain"
    mlpspec.run_study(STUDY, out, **RUN)
    return out


@pytest.fixture
def place(plain, tmp_path):
    shutil.copytree(plain, tmp_path / "r")
    pack(tmp_path / "r" / FILE_NAME)
    return tmp_path / "r"


def test_a_packed_store_is_read_as_it_is(plain, place, capsys):
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    one, other = mlpspec.load(plain), mlpspec.load(place)
    assert list(other.table) == list(one.table)
    assert all(same_bits(other.table[name], one.table[name]) for name in one.table)
    key = one.table["key"][3]
    assert same_bits(other.params(key).flatten(), one.params(key).flatten())
    assert cli.main(["status", str(place)]) == 0
    assert "40 in" in capsys.readouterr().out
    assert len(mlpspec.run_study(STUDY, place, **RUN).sessions) == 1  # nothing to train
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_a_packed_store_is_unpacked_when_more_is_trained(plain, place):
    more = mlpspec.run_study(STUDY.replace(seed=range(41)), place, n_jobs=1)
    assert [session["runs"] for session in more.sessions] == [40, 1]
    assert [session["engine"] for session in more.sessions] == ["numpy", "numpy"]
    assert {name for name in os.listdir(place) if FILE_NAME in name} == {FILE_NAME}
    kept = mlpspec.load(plain).table["seconds"]
    assert same_bits(more.table["seconds"][:40], kept)  # of the first time


def test_a_damaged_packed_store_is_said_to_be_and_saved(plain, place, tmp_path, capsys):
    form = place / f"{FILE_NAME}.gz"
    whole = form.read_bytes()
    form.write_bytes(whole[: 2 * len(whole) // 3])
    damaged = form.read_bytes()
    for command in (["status", str(place)], ["run", "--out", str(place)]):
        assert cli.main(command) == 2
        assert f"{form} is damaged" in capsys.readouterr().err
    found = recover(place, tmp_path / "saved")
    assert 0 < found.runs < 40
    assert found.lost == 40 - found.runs
    assert form.read_bytes() == damaged
    one, saved = mlpspec.load(plain), mlpspec.load(tmp_path / "saved")
    for key in saved.runs:
        assert same_bits(saved.params(key).flatten(), one.params(key).flatten())
    form.write_bytes(gzip.compress(b""))
    assert cli.main(["status", str(place)]) == 2
    assert "is damaged or not a database" in capsys.readouterr().err


def test_packed_tables_are_read(plain, place):
    pack(place / "runs.csv")
    one, other = read_csv(plain / "runs.csv"), read_csv(place / "runs.csv")
    assert list(other) == list(one)
    assert all(same_bits(other[name], one[name]) for name in one)
