"""``models``: the registry of versions; ``rollout``: which of them decides."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waferlens.cli import console
from waferlens.cli.arguments import AsJson, BundleFolder
from waferlens.cli.service import Home, operator

app = typer.Typer(no_args_is_help=True, help="Versions of the model: register, promote, roll back, archive.")
VersionName = Annotated[str, typer.Argument(help="Such as vae-wafer-v2.3.1.", show_default=False)]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept for good.", show_default=False)]


@app.command("list")
def list_versions(home: Home, as_json: AsJson = False) -> None:
    """Every version, oldest first, with its state and role."""
    from waferlens.wiring.lifecycle import open_life, summary

    versions = [summary(each) for each in open_life(home).rollout.versions()]
    if as_json:
        console.print_json(versions)
        return
    rows = [[each["version"], each["state"], each["slot"] or "", each["product"]] for each in versions]
    console.print_table("Versions", ["version", "state", "role", "product"], rows)


@app.command()
def show(home: Home, version: VersionName) -> None:
    """What record and registry say about a version, with every move of it, as JSON."""
    from waferlens.wiring.lifecycle import open_life

    console.print_json(open_life(home).describe(version))


@app.command()
def register(
    bundle: BundleFolder,
    home: Home,
    reason: Reason,
    version: Annotated[
        str | None, typer.Option("--version", help="Instead of the one that the rule gives; a larger step only.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder that `evaluate` wrote, kept with the version.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="Private key, PEM: signs the bundle under its new name.")
    ] = None,
) -> None:
    """Verify a bundle, give it its version and put it into the registry; prints the version.

    Interrupted, the same command goes on where it stopped.
    """
    from waferlens.lifecycle.registration import Told
    from waferlens.lifecycle.rollout import Because
    from waferlens.lifecycle.versions import Version
    from waferlens.wiring.lifecycle import open_life

    told = Told(lineage={}, report=report, asked=None if version is None else Version.parse(version))
    why = Because(actor=operator(), reason=reason)
    say = console.status_console().print
    console.print_line(open_life(home).register(bundle, told, why, private_key=key, say=say))


@app.command()
def promote(
    home: Home,
    reason: Reason,
    version: Annotated[
        str | None, typer.Argument(help="Only where there is no champion yet; else the canary.")
    ] = None,
) -> None:
    """Make the canary the champion, or the first version of all; prints the champion."""
    from waferlens.lifecycle.rollout import Because
    from waferlens.wiring.lifecycle import open_life

    life = open_life(home)
    console.print_line(life.rollout.promote(Because(actor=operator(), reason=reason), version))
    _say(life.try_to_follow())


@app.command()
def rollback(
    home: Home,
    reason: Reason,
    to: Annotated[
        str | None, typer.Option("--to", help="A version that was champion; without it the previous one.")
    ] = None,
) -> None:
    """Make the previous champion decide again; every running service follows. Prints the champion."""
    from waferlens.lifecycle.rollout import Because
    from waferlens.wiring.lifecycle import open_life

    life = open_life(home)
    console.print_line(life.roll_back(Because(actor=operator(), reason=reason), to))
    _say(life.try_to_follow())


@app.command()
def archive(
    home: Home,
    reason: Reason,
    version: Annotated[
        str | None, typer.Argument(help="Without it every one beyond the newest five that nobody uses.")
    ] = None,
) -> None:
    """Move versions to the archive store; prints each. What is in use is refused."""
    from waferlens.lifecycle.rollout import Because
    from waferlens.wiring.lifecycle import open_life

    for each in open_life(home).put_away(version, Because(actor=operator(), reason=reason)):
        console.print_line(each)


@app.command()
def restore(home: Home, version: VersionName, reason: Reason) -> None:
    """Bring a version back from the archive, compared with its hashes; prints its folder."""
    from waferlens.lifecycle.rollout import Because
    from waferlens.wiring.lifecycle import open_life

    folder = open_life(home).archive.bring_back(version, Because(actor=operator(), reason=reason))
    console.print_line(str(folder))


@app.command()
def verify(
    home: Home,
    version: Annotated[str | None, typer.Argument(help="Such as vae-wafer-v2.3.1; without it all.")] = None,
) -> None:
    """Check that versions are what was registered, in their folders or in the archive; exit code 1 if one is
    not.
    """
    from waferlens.wiring.lifecycle import open_life

    life = open_life(home)
    for name, place in life.verify(version).items():
        console.print_line(f"{name}: as registered, {place}")
    _say(life.follow())


@app.command()
def diff(
    home: Home, old: VersionName, new: Annotated[str, typer.Argument(help="Another one.", show_default=False)]
) -> None:
    """What changed from one version to another: step, recipe, thresholds, figures, as JSON."""
    from waferlens.wiring.lifecycle import open_life

    console.print_json(open_life(home).diff(old, new))


def _say(lines: list[str]) -> None:
    for line in lines:
        console.status_console().print(line, soft_wrap=True)
