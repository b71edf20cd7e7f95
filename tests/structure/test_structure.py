"""The shape of the code: imports only point back in the story, modules are short, importing costs nothing."""

import ast
import fnmatch
import graphlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "waferlens"
STORY = [
    "errors", "records", "decision", "images", "models", "training", "baselines", "evaluation", "bundle",
    "engines", "storage", "inspection", "review", "monitoring", "lifecycle", "settings", "wiring", "web", "cli",
]  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 250


def name_of(path: Path) -> str:
    parts = ("waferlens", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for path in MODULES}


def chapter_of(module: str) -> str:
    return module.split(".")[1]


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports anywhere: at the top, in functions and for type checkers."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import in line {node.lineno}"
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & NAMES
            found |= inner or {str(node.module)}
    return found


def own_imports_of(path: Path) -> set[str]:
    return {module for module in imports_of(path) if module.split(".")[0] == "waferlens"}


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


def test_every_module_belongs_to_a_chapter_of_the_story():
    assert {chapter_of(module) for module in NAMES - {"waferlens"}} <= set(STORY)


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent != PACKAGE], ids=name_of)
def test_a_module_imports_only_from_its_own_chapter_or_from_chapters_before_it(path):
    mine = STORY.index(chapter_of(name_of(path)))
    later = {module for module in own_imports_of(path) - {"waferlens"} if STORY.index(chapter_of(module)) > mine}
    assert not later


@pytest.mark.parametrize("chapter", ["errors", "records"])
def test_the_first_two_chapters_know_only_the_standard_library_and_numpy(chapter):
    outside = {module.split(".")[0] for module in imports_of(PACKAGE / f"{chapter}.py")}
    assert outside <= set(sys.stdlib_module_names) | {"numpy"}


def test_no_module_imports_itself_in_a_circle():
    # The root loads its one public name on first use and is imported by nobody for anything but its version.
    graph = {name_of(path): own_imports_of(path) for path in MODULES if name_of(path) != "waferlens"}
    list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_at_most_250_lines_and_says_what_it_is_for(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("chapter", ["decision", "images", "inspection"])
def test_deciding_reading_and_inspecting_never_load_torch(chapter):
    modules = sorted(module for module in NAMES if module.split(".")[1:2] == [chapter])
    loaded = run_python(f"import sys, {', '.join(modules)}; print('torch' in sys.modules)")
    assert loaded == "False"


@pytest.mark.parametrize(
    "module", ["waferlens.engines.pool", "waferlens.engines.triton", "waferlens.wiring.engine"]
)
def test_serving_loads_a_runtime_or_a_protocol_only_when_it_is_chosen(module):
    heavy = ("torch", "openvino", "onnxruntime", "tritonclient", "grpc", "gevent", "cryptography")
    loaded = run_python(f"import sys, {module}; print(*[name for name in {heavy} if name in sys.modules])")
    assert loaded == ""


@pytest.mark.parametrize("module", ["waferlens", "waferlens.cli.main"])
def test_importing_loads_no_heavy_library(module):
    heavy = ("torch", "matplotlib", "sklearn", "skimage", "openvino", "onnxruntime", "lightning_fabric", "pyarrow")
    loaded = run_python(f"import sys, {module}; print(*[name for name in {heavy} if name in sys.modules])")
    assert loaded == ""


def test_the_one_public_name_is_the_inspector():
    code = "import waferlens; print(waferlens.Detector.__module__, hasattr(waferlens, 'nothing'))"
    assert run_python(code) == "waferlens.inspection.inspector False"


def test_nothing_at_the_top_of_a_module_runs_but_definitions():
    allowed = (
        ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign,
        ast.If,
    )  # fmt: skip
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            # A command line registers its commands where it is defined.
            is_cli = isinstance(node, ast.Expr) and chapter_of(name_of(path) + ".") == "cli"
            assert isinstance(node, allowed) or is_text or is_cli, f"{path}:{node.lineno}"


def test_nothing_is_unpickled_anywhere():
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not {"pickle", "joblib", "dill", "shelve", "marshal"} & imports_of(path), path
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called, told = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
            if called == "torch.load":
                assert told.get("weights_only") == "True", f"{path}:{node.lineno}"
            if called in ("np.load", "numpy.load"):
                assert told.get("allow_pickle", "False") == "False", f"{path}:{node.lineno}"


def test_every_file_that_the_package_reads_at_run_time_is_shipped():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    others = [
        path
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts
    ]
    for path in others:
        assert any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns), path
    for pattern in patterns:
        assert any(fnmatch.fnmatch(path.name, pattern) for path in others), pattern
