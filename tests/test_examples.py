"""The examples of docstrings run, and what users call has one."""

import doctest
import importlib
import pkgutil

import pytest

import mlpspec

MODULES = [
    module.name
    for module in pkgutil.walk_packages(mlpspec.__path__, "mlpspec.")
    if not module.name.endswith("__main__")
]
WHOLE = ("arrays", "compress", "data", "network", "store", "studies", "study")
"""Rooms in which everything public has an example."""


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(name)
    found = doctest.testmod(module)
    assert not found.failed
    if name.split(".")[1] in WHOLE and not module.__file__.endswith("__init__.py"):
        assert found.attempted
        for item, value in vars(module).items():
            if item[0] != "_" and getattr(value, "__module__", "") == name and callable(value):
                assert ">>>" in value.__doc__, item


def test_what_the_package_offers_has_an_example():
    without = {
        name for name in mlpspec.__all__ if ">>>" not in (getattr(mlpspec, name).__doc__ or "")
    }
    # Modules, and exceptions, of which the message is all.
    assert without <= {"losses", "studies", "InputError", "LossError", "WorkerLostError"}
