"""Help: every command and every option says what it is for."""

from __future__ import annotations

import typer

from waferlens.cli.main import app

COMMANDS = {
    "demo", "explore", "baseline", "train", "benchmark", "evaluate", "robustness", "pod", "inspect", "export",
    "bench", "data", "bundle", "triton", "models", "rollout", "replay", "retrain",
    "serve", "client", "keys", "users", "audit", "backup", "restore", "prune", "review", "monitor", "roi",
}  # fmt: skip


def leaves(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def test_the_promised_commands_are_there_and_listed(here):
    group = typer.main.get_command(app)
    assert set(group.commands) == COMMANDS
    groups = {
        name: set(command.commands) for name, command in group.commands.items() if hasattr(command, "commands")
    }
    assert groups == {
        "data": {"synth", "check"},
        "bundle": {"keygen", "sign", "verify"},
        "triton": {"export"},
        "models": {
            "list",
            "show",
            "register",
            "promote",
            "rollback",
            "archive",
            "restore",
            "verify",
            "diff",
        },
        "rollout": {"status", "start", "advance", "abort", "check", "shadow", "compare"},
        "bench": {"engines", "serve"},
        "keys": {"create", "list", "revoke"},
        "users": {"create"},
        "audit": {"verify"},
        "review": {"queue", "agreement", "export"},
        "monitor": {"alarms", "daily", "drift", "escape", "novel", "signatures"},
    }
    ran = here("--help")
    assert ran.code == 0
    assert all(f" {name} " in ran.out for name in COMMANDS)


def test_every_command_argument_and_option_has_help():
    silent = []
    for name, command in leaves(typer.main.get_command(app)):
        if not (command.help or "").strip():
            silent.append(name)
        silent += [
            f"{name} {parameter.name}" for parameter in command.params if not (parameter.help or "").strip()
        ]
    assert silent == []


def test_what_scripts_would_read_can_be_had_as_json():
    commands = dict(leaves(typer.main.get_command(app)))
    for name in (
        "data check",
        "baseline",
        "evaluate",
        "pod",
        "inspect",
        "export",
        "bench engines",
        "bench serve",
        "bundle verify",
        "triton export",
    ):
        assert "as_json" in {parameter.name for parameter in commands[name].params}


def test_every_command_answers_help(here):
    for name, _ in leaves(typer.main.get_command(app)):
        assert here(*name.split(), "--help").code == 0


def test_a_missing_argument_and_an_unknown_option_are_usage_errors(here):
    assert here("train").code == 2
    assert here("inspect", "bundle", "file", "--fast").code == 2
