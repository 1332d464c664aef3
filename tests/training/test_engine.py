"""Which engine trains; whether numba is installed here does not matter."""

import sys
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest

from mlpspec.errors import InputError
from mlpspec.training import compiled, engine
from mlpspec.training.engine import choose, used_in, why_not_compiled


@pytest.fixture
def numba(monkeypatch):
    """A numba that can be imported and compiles, as far as anybody asks."""
    installed = SimpleNamespace()
    monkeypatch.setattr(compiled, "cached_files", list)  # else nobody asks numba itself
    monkeypatch.delenv("MLPSPEC_COMPILED", raising=False)
    monkeypatch.setattr(engine, "version", {"numba": "0.99.0", "llvmlite": "0.98.0"}.__getitem__)
    monkeypatch.setitem(sys.modules, "numba", installed)
    return installed


def missing(name):
    raise PackageNotFoundError(name)


@pytest.mark.parametrize("asked", ["auto", "numpy", "compiled"])
@pytest.mark.parametrize("last", [None, "numpy", "compiled"])
def test_where_numba_works(numba, asked, last):
    assert why_not_compiled() is None
    assert choose(asked, last) == (asked if asked != "auto" else last or "compiled")


@pytest.mark.parametrize("last", [None, "numpy", "compiled"])
def test_where_numba_is_missing(numba, monkeypatch, last):
    monkeypatch.setattr(engine, "version", missing)
    assert choose("numpy", last) == "numpy"
    mend = "numba is not installed; give --engine numpy, or mend it: "
    with pytest.raises(InputError, match=rf"engine is compiled, which does not .*: {mend}"):
        choose("compiled", last)
    if last == "compiled":
        with pytest.raises(InputError, match=rf"auto, and the last session used .*: {mend}"):
            choose("auto", last)
    else:
        assert choose("auto", last) == "numpy"


def test_numba_that_compiles_nothing(numba, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert choose() == "numpy"
    with pytest.raises(InputError, match="does not work here: NUMBA_DISABLE_JIT is set"):
        choose("compiled")
    monkeypatch.delenv("NUMBA_DISABLE_JIT")
    monkeypatch.setitem(sys.modules, "numba", None)
    assert choose() == "numpy"
    with pytest.raises(InputError, match=r"numba 0\.99\.0 cannot be imported \(ModuleNotFound"):
        choose("compiled")
    monkeypatch.setenv("MLPSPEC_COMPILED", "0")
    with pytest.raises(InputError, match="does not work here: MLPSPEC_COMPILED is 0"):
        choose("compiled")


def test_an_engine_that_does_not_exist():
    with pytest.raises(InputError, match="engine is 'numpi'; it must be auto, numpy or compiled"):
        choose("numpi")


def test_sessions_that_name_no_engine():
    assert used_in({"engine": "numpy", "numba": None}) == "numpy"
    assert used_in({"numba": "0.60.0"}) == "compiled"
    assert used_in({"numba": None}) == "numpy"
    assert used_in({}) == "numpy"


def test_versions_of_what_is_used(numba, monkeypatch):
    assert engine.versions("compiled") == {"numba": "0.99.0", "llvmlite": "0.98.0"}
    assert engine.versions("numpy") == {"numba": None, "llvmlite": None}
    monkeypatch.setattr(engine, "version", missing)
    assert engine.versions("compiled") == {"numba": None, "llvmlite": None}
