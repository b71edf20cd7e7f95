"""The notebook runs from top to bottom on a fresh machine and finds what it says it finds."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "case_study.ipynb"
RESULTS = """
import json
print(json.dumps({
    "num_answers": len(four_answers),
    "answered": all(answer.short and answer.evidence for answer in four_answers),
    "baselines": sorted(baselines.scored),
    "num_defective": int(test.defective.sum()),
    "default_parameters": default_parameters,
    "literal_parameters": literal_parameters,
    "epochs": len(history),
    "first_loss": history[0]["validation_reconstruction"],
    "last_loss": history[-1]["validation_reconstruction"],
    "losses": sorted(history[0]),
    "score_auroc": metrics["score"]["image_auroc"]["value"],
    "types": sorted(result.defect_type for result in types),
    "num_shown": len(analysis.cases or analysis.closest),
    "num_modes": len(analysis.top_modes),
    "exact": [e["passed"] for e in parity["engines"] if not e["engine"].endswith("int8")],
    "benched": sorted({(row.engine, row.batch) for row in bench_rows}),
    "decision": str(inspection.decision.kind),
    "score_there": inspection.inference.score,
    "score_in_test": float(scored.scores[pick]),
}))
"""


@pytest.fixture(scope="module")
def cells() -> list[dict]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def code_of(cells: list[dict]) -> str:
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def test_the_notebook_is_kept_without_outputs(cells):
    assert all(
        not cell["outputs"] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code"
    )


def test_it_walks_through_sections_3_1_to_3_8_in_order(cells):
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert re.findall(r"^## (3\.\d) ", text, flags=re.MULTILINE) == [f"3.{n}" for n in range(1, 9)]


def test_it_draws_with_the_package_and_never_by_itself(cells):
    imports = {
        alias.name.split(".")[0] if isinstance(node, ast.Import) else str(node.module).split(".")[0]
        for node in ast.walk(ast.parse(code_of(cells)))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert "matplotlib" not in imports
    assert "sklearn" not in imports


@pytest.fixture(scope="module")
def produced(tmp_path_factory) -> dict:
    import nbformat
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell

    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(new_code_cell(RESULTS))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WAFERLENS_CACHE", str(folder / "cache"))
        environment.setenv("TMPDIR", str(folder))
        environment.delenv("WAFERLENS_NOTEBOOK_DATA", raising=False)
        NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(folder)}}).execute()
    return json.loads(notebook.cells[-1].outputs[0]["text"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_every_cell_runs_and_the_sections_give_what_they_promise(produced):
    assert produced["num_answers"] == 4
    assert produced["answered"]
    assert {"pca-k10", "pca-k50", "pca-k100", "texture-svm"} < set(produced["baselines"])
    assert {"feature-gaussian", "feature-neighbour"} < set(produced["baselines"])
    assert len(produced["baselines"]) == 7
    assert produced["default_parameters"] < 15_000_000 < produced["literal_parameters"]
    assert produced["epochs"] == 8
    assert produced["last_loss"] < produced["first_loss"]
    assert {"reconstruction", "kl", "total"} < set(produced["losses"])
    assert produced["score_auroc"] > 0.7
    assert len(produced["types"]) == 5
    assert produced["num_shown"] > 0
    assert produced["num_modes"] <= 3
    assert produced["exact"] == [True, True, True]
    assert len(produced["benched"]) == 10
    assert produced["decision"] in ("REVIEW", "REJECT")
    assert produced["score_there"] == pytest.approx(produced["score_in_test"], abs=1e-3)
