"""Every command, option and make target that a document names can be typed."""

from __future__ import annotations

import re
import shlex

import pages
import pytest
import typer

from waferlens.cli.defaulting import DEFAULT
from waferlens.cli.main import app

CLI = typer.main.get_command(app)
PROGRAM = re.compile(r"(?:\.venv/bin/)?waferlens (?=[a-z])(.*)")
TARGETS = set(re.findall(r"^([a-z-]+):", (pages.ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def all_commands(group=CLI, prefix=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from all_commands(command, (*prefix, name))
        else:
            yield (*prefix, name), command


COMMANDS = dict(all_commands())


def options_of(command) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def command_lines(text: str) -> list[str]:
    lines = [line.strip() for block in pages.blocks(text, "(?:sh)?") for line in block.splitlines()]
    return [match[1] for line in [*lines, *pages.spans(text)] if (match := PROGRAM.fullmatch(line))]


LINES = [(page, line) for page, text in pages.PAGES.items() for line in command_lines(text)]


@pytest.mark.parametrize(("page", "line"), LINES)
def test_a_command_line_of_a_document_names_a_command_and_options_that_exist(page, line):
    words = shlex.split(line)
    path = tuple(words[:2]) if tuple(words[:2]) in COMMANDS else tuple(words[:1])
    if len(words) == 1 and hasattr(CLI.commands.get(words[0]), "commands"):  # a whole group is spoken of
        return
    if path == ("bench",):  # of its commands, this one need not be named
        path = ("bench", DEFAULT)
    assert path in COMMANDS, f"{page}: {line}"
    named = {word.split("=")[0] for word in words if word.startswith("--")}
    assert named <= options_of(COMMANDS[path]) | {"--help"}, f"{page}: {line}"


def test_the_documents_hold_command_lines_at_all():
    assert len(LINES) > 20


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_is_in_a_document(path):
    assert any(line.split()[: len(path)] == list(path) for _, line in LINES)


@pytest.mark.parametrize("page", pages.PAGES)
def test_an_option_that_stands_alone_belongs_to_some_command(page):
    known = {option for command in COMMANDS.values() for option in options_of(command)} | {"--help"}
    alone = {span.split()[0] for span in pages.spans(pages.PAGES[page]) if span.startswith("--")}
    assert alone <= known


@pytest.mark.parametrize("page", pages.PAGES)
def test_a_make_target_that_is_named_exists(page):
    text = pages.PAGES[page]
    code = "\n".join([*pages.blocks(text, "(?:sh)?"), *pages.spans(text)])
    named = set(re.findall(r"^make (?:[A-Z]+=\S+ )*([a-z-]+)", code, flags=re.MULTILINE))
    assert named <= TARGETS


def test_every_make_target_with_help_is_explained_to_contributors():
    helped = set(re.findall(r"^([a-z-]+):.*##", (pages.ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    explained = set(re.findall(r"make ([a-z-]+)", pages.PAGES["CONTRIBUTING.md"] + pages.PAGES["README.md"]))
    assert helped <= explained
