"""The notebooks run from top to bottom without a network, and are kept without outputs."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_four():
    assert [path.name[0] for path in NOTEBOOKS] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_not_kept(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert code
    assert all(cell.execution_count is None and cell.outputs == [] for cell in code)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """One kernel for all of them: to start one and to import torch takes longer than most of what they do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_PROJECT", raising=False)
        patch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # no network
        place = {"metadata": {"path": tmp_path_factory.mktemp("notebooks")}}
        client = NotebookClient(nbformat.v4.new_notebook(), timeout=170, resources=place)
        client.execute(cleanup_kc=False)
        yield client
        client.nb = nbformat.v4.new_notebook()
        client.execute()


FEWER = {
    "3_noc_results": ("range(0, len(benchmark), 2)", "range(0, len(benchmark), 16)"),
    "4_ablations": ("range(len(benchmark))", "range(0, len(benchmark), 16)"),
}
"""Objects that a notebook works on, and those that are enough to see it run."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, client):
    notebook = nbformat.read(path, as_version=4)
    rendered = os.environ.get("MIS_RENDER_DIR")
    if path.stem in FEWER and not rendered:
        whole, few = FEWER[path.stem]
        (cell,) = [cell for cell in notebook.cells if whole in cell.source]
        cell.source = cell.source.replace(whole, few)
    client.nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("get_ipython().reset()")])
    client.execute(cleanup_kc=False)  # it stands on its own: nothing of the one before is left
    client.nb = notebook
    client.execute(cleanup_kc=False)
    if rendered:
        nbformat.write(notebook, Path(rendered) / path.name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert any(cell.outputs for cell in code)
    pictures = [output for cell in code for output in cell.outputs if "image/png" in output.get("data", {})]
    assert pictures
