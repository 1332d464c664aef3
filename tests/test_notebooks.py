"""The notebooks of experiments/: each runs from the first cell to the last."""

import os

import pytest
from helpers import ROOT

NOTEBOOKS = sorted((ROOT / "experiments").glob("*.ipynb"))

SMALL = {
    "grid": "SIZES, SEEDS, OUT = (3, 5), range(3), 'runs/grid'",
    "hulls": "SIZES, SEEDS, OUT = (5, 6), range(3), 'runs/hulls'",
    "own_loss": "SIZES, SEEDS, STEPS, OUT = (3, 4), range(2), 30, 'runs/loss'",
}
"""What takes the place of the parameters at their tops: studies of seconds, not of minutes."""

KEPT = 300_000
"""Bytes that a notebook with its outputs may have."""


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")  # of the notebook's own machinery
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(path, as_version=4)
    (parameters,) = [cell for cell in book.cells if "parameters" in cell.metadata.get("tags", ())]
    assert {*parameters.source.replace(",", " ").split()} >= {"SIZES", "SEEDS", "OUT"}
    parameters.source = SMALL[path.stem]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    client = NotebookClient(book, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("<table>" in output.get("data", {}).get("text/html", "") for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_keeps_small_outputs_of_what_it_says(path):
    import json

    assert path.stat().st_size < KEPT
    book = json.loads(path.read_text())
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert any("image/png" in o.get("data", {}) for cell in cells for o in cell["outputs"])
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    kinds = {(o["output_type"], o.get("name")) for cell in cells for o in cell["outputs"]}
    assert kinds <= {("display_data", None), ("execute_result", None), ("stream", "stdout")}
    assert {p.stem for p in NOTEBOOKS} == {*SMALL}
