"""What is derived from a results directory alone."""

import pytest

from mlpspec.analysis.analysis import Analysis


def test_a_companion_whose_store_is_a_link_to_nowhere_is_no_absent_one(tmp_path):
    Store.create(tmp_path, Study("s", {"seed": (0, 1)})).close()
    assert Analysis(tmp_path).sweep is None
    (tmp_path / "tau-sweep").mkdir()
    (tmp_path / "tau-sweep" / FILE_NAME).symlink_to("nowhere")
    with pytest.raises(InputError, match="is not a file; remove it or mend it"):
        _ = Analysis(tmp_path).sweep
