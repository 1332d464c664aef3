"""Fixtures that several modules use."""

import pytest
from helpers import LONG, finish, runs_csv, start_mlpspec

from mlpspec import run_study


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("faults") / "undisturbed"
    run_study(LONG, out, n_jobs=2)
    return runs_csv(out)


@pytest.fixture
def mlpspec(tmp_path):
    """Run the real command line in an empty directory: status, stdout, stderr."""

    def run(*arguments):
        return finish(start_mlpspec(*arguments, cwd=tmp_path), tmp_path)

    return run
