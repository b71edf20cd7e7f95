"""Every link, file, module, function and variable that a document names exists; nothing else is spoken of."""

from __future__ import annotations

import ast
import importlib
import re

import pages
import pytest

import waferlens.bundle

FOLDERS = ("src/", "tests/", "docs/", "recipes/", "notebooks/", "bench/", "deploy/", ".ci/")
PACKAGE = pages.ROOT / "src" / "waferlens"
CHAPTERS = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py") and path.name[0] != "_"}


def resolve(name: str) -> object:
    """The object of a dotted name; a dataclass field is found by its annotation."""
    found: object = importlib.import_module("waferlens")
    dotted = "waferlens"
    for part in name.split(".")[1:]:
        dotted += f".{part}"
        try:
            found = getattr(found, part)
        except AttributeError:
            if part in getattr(found, "__annotations__", {}):
                return found
            found = importlib.import_module(dotted)
    return found


def definitions() -> set[str]:
    kinds = (ast.FunctionDef, ast.ClassDef)
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py"))
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, kinds)}


@pytest.mark.parametrize("page", pages.PAGES)
def test_every_relative_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", pages.PAGES[page])
    local = [link.split("#")[0] for link in links if not link.startswith(("http://", "https://", "#"))]
    missing = [link for link in local if not ((pages.ROOT / page).parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", pages.PAGES)
def test_every_dotted_name_of_the_package_exists(page):
    names = {
        name for span in pages.spans(pages.PAGES[page]) if (name := span.split("(")[0]).startswith("waferlens.")
    }
    for name in names:
        resolve(name)


@pytest.mark.parametrize("page", pages.PAGES)
def test_every_path_of_the_repository_exists(page):
    paths = {span for span in pages.spans(pages.PAGES[page]) if span.startswith(FOLDERS) and " " not in span}
    missing = {path for path in paths if not (pages.ROOT / path).exists()}
    assert not missing


def test_the_functions_in_the_drawings_of_the_architecture_exist():
    text = pages.PAGES["docs/architecture.md"]
    drawn = "\n".join(re.findall(r"^    .*$", pages.section(text, "## Data flow"), flags=re.MULTILINE))
    named = set(re.findall(r"\b[a-z]+_[a-z_]+\b", drawn))
    assert len(named) > 8
    assert named <= definitions()


@pytest.mark.parametrize("chapter", sorted(CHAPTERS))
def test_every_chapter_stands_in_the_architecture_and_in_the_tree_of_the_readme(chapter):
    assert f"`src/waferlens/{chapter}" in pages.PAGES["docs/architecture.md"]
    assert re.search(rf"^[├└]── {chapter}(/|\.py) ", pages.PAGES["README.md"], flags=re.MULTILINE)


def test_the_tree_of_the_readme_names_only_what_is_there():
    (tree,) = (block for block in pages.blocks(pages.PAGES["README.md"]) if block.startswith("src/waferlens/"))
    for name in re.findall(r"^[├└]── (\S+)", tree, flags=re.MULTILINE):
        assert (PACKAGE / name).exists()
    for name in re.findall(r"^│   [├└]── (\S+)", tree, flags=re.MULTILINE):
        assert (PACKAGE / "images" / name).exists()
    for name in re.findall(r"^(\w+/) ", tree, flags=re.MULTILINE):
        assert (pages.ROOT / name).is_dir()


def test_the_files_of_a_bundle_are_listed_as_the_code_lists_them():
    listed = {
        row[0].strip("`")
        for row in pages.rows(pages.section(pages.PAGES["docs/architecture.md"], "## The bundle on disk"))
    }
    written = set(re.findall(r"[├└]── (\S+)", str(waferlens.bundle.__doc__)))
    assert listed == written


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"WAFERLENS_[A-Z]+", "\n".join(pages.PAGES.values())))))
def test_an_environment_variable_that_is_named_is_read(variable):
    code = [*PACKAGE.rglob("*.py"), *(pages.ROOT / "tests").rglob("conftest.py"), pages.NOTEBOOK]
    assert any(variable in path.read_text(encoding="utf-8") for path in code)


@pytest.mark.parametrize("page", pages.PAGES)
def test_a_page_speaks_of_no_machine_and_of_no_workplace(page):
    text = pages.PAGES[page]
    assert not re.search(r"(?<![\w.])/(work|tmp|root|home|mnt|Users)\b", text)
    assert not re.search(
        r"\b(sub)?agents?\b|\bhelpers?\b|\bAI assistant|\b(this|a|my|our) sessions?\b", text, flags=re.IGNORECASE
    )


@pytest.mark.slow
def test_the_python_example_of_the_readme_runs(exported):
    from waferlens.bundle.contents import load_samples
    from waferlens.records import DecisionKind

    (example,) = pages.blocks(pages.PAGES["README.md"], "python")
    names: dict[str, object] = {"array": load_samples(exported).held_out[0]}
    exec(compile(example.replace("runs/demo/bundle", str(exported)), "README.md", "exec"), names)
    assert names["inspection"].decision.kind in DecisionKind
    assert names["inspection"].inference.heatmap.shape == (256, 256)
