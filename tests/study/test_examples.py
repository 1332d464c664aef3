"""Every public class and function says by an example what it does; the examples run."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import mlpspec.data
import mlpspec.store
import mlpspec.study

MODULES = ["mlpspec.studies"] + [
    module.name
    for room in (mlpspec.data, mlpspec.study, mlpspec.store)
    for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    for item, value in inspect.getmembers(module, lambda v: getattr(v, "__module__", "") == name):
        if item[0] != "_" and callable(value):
            assert ">>>" in value.__doc__, item
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed
