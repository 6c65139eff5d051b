"""The notebooks hold no outputs, and run from the first cell to the last, with little to do in each."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from optional import needs

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LITTLE = {"first_classifier": {"LEARN": 80}, "patch_by_patch": {"STEPS": 2, "TEST": 20}}
"""What stands in the cell of parameters, in place of what a reader has time for."""


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs_and_small(path: Path) -> None:
    cells = read(path)["cells"]
    assert all(
        cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code"
    )
    assert sum("parameters" in cell["metadata"].get("tags", ()) for cell in cells) == 1
    assert path.stat().st_size < 20_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("nbclient")
    needs("ipykernel")
    with warnings.catch_warnings():  # theirs
        warnings.simplefilter("ignore")
        import nbformat
        from nbclient import NotebookClient

        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if "parameters" in cell.metadata.get("tags", ()):
                assert all(f"{name} = " in cell.source for name in LITTLE[path.stem])
                cell.source += "\n" + "\n".join(f"{name} = {value}" for name, value in LITTLE[path.stem].items())
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
        kernel = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python"}
        (tmp_path / "kernels" / "this").mkdir(parents=True)
        (tmp_path / "kernels" / "this" / "kernel.json").write_text(json.dumps({**kernel, "display_name": "this"}))
        options = {"timeout": 300, "kernel_name": "this", "resources": {"metadata": {"path": str(tmp_path)}}}
        NotebookClient(notebook, **options).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    said = [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    assert not [text for text in said if "Warning" in text]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 1
