"""The notebooks of the documentation run, and are committed without what running them gave."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_output_is_committed(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.metadata, cell.id
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), cell.id


def test_the_first_model_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # Streamlit sets it for its whole process
    work = tmp_path / "work"
    work.mkdir()
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    client = NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(work)}}
    )
    client.execute()
    outputs = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    warned = [one.text for many in outputs.values() for one in many if one.get("name") == "stderr"]
    assert not [text for text in warned if "TqdmWarning: IProgress not found" not in text]
    pictures = [name for name, many in outputs.items() if any("image/png" in one.get("data", {})
                for one in many)]  # fmt: skip
    assert pictures == ["data", "answers-plot", "predict"]
    assert "sensitivity:PNEUMONIA" in outputs["numbers"][-1].data["text/plain"]
    assert (work / "runs" / "first" / "report.html").is_file()
