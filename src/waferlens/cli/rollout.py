"""``rollout``: from a registered version over shadow and canary to the champion, or back."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from waferlens.cli import console
from waferlens.cli.arguments import AsJson
from waferlens.cli.models import Reason, VersionName
from waferlens.cli.service import Home, operator

Days = Annotated[float, typer.Option("--days", min=0.001, help="Back from now.")]

app = typer.Typer(no_args_is_help=True, help="Try a version beside the champion: shadow, canary, champion.")


@app.command()
def status(home: Home, as_json: AsJson = False) -> None:
    """Champion, challenger and previous, and the newest moves with who and why."""
    from waferlens.wiring.lifecycle import aliases_of, open_life

    rollout = open_life(home).rollout
    roles, moves = rollout.roles(), [vars(move) for move in rollout.history(limit=20)]
    aliases = aliases_of(roles)
    if as_json:
        console.print_json({**aliases, "canary_share": roles.canary_share, "moves": moves})
        return
    console.print_table("Roles", ["role", "version"], [[name, told or "nobody"] for name, told in aliases.items()])
    rows = [[m["version"], m["from_state"] or "", m["to_state"], m["actor"], m["reason"]] for m in moves]
    console.print_table("Moves, newest first", ["version", "from", "to", "who", "why"], rows)


@app.command()
def start(home: Home, version: VersionName, reason: Reason) -> None:
    """Let a registered version score every image beside the champion (shadow)."""
    from waferlens.lifecycle.rollout import Because
    from waferlens.wiring.lifecycle import open_life

    life = open_life(home)
    life.rollout.start(version, Because(actor=operator(), reason=reason))
    console.print_line(f"{version} is in shadow")
    _follow(life.try_to_follow())


@app.command()
def advance(
    home: Home,
    reason: Reason,
    share: Annotated[
        float, typer.Option("--share", min=0.001, max=0.5, help="Of wafers, when it becomes a canary.")
    ] = 0.1,
) -> None:
    """From shadow to canary, from canary to champion."""
    from waferlens.wiring.lifecycle import advance as advance_life
    from waferlens.wiring.lifecycle import open_life

    life = open_life(home)
    console.print_line(advance_life(life, share, actor=operator(), reason=reason))
    _follow(life.try_to_follow())


@app.command()
def abort(home: Home, reason: Reason) -> None:
    """Refuse the challenger; the champion goes on alone."""
    from waferlens.lifecycle.rollout import Because
    from waferlens.wiring.lifecycle import open_life

    life = open_life(home)
    console.print_line(f"{life.rollout.abort(Because(actor=operator(), reason=reason))} is refused")
    _follow(life.try_to_follow())


@app.command()
def check(home: Home) -> None:
    """Look at the guardrails once, roll back what broke one, and print what is known, as JSON.

    A running service does the same every few seconds.
    """
    from waferlens.wiring.lifecycle import check_guardrails, open_life

    life = open_life(home)
    console.print_json([each.as_dict() for each in check_guardrails(life)])
    _follow(life.try_to_follow())


@app.command()
def shadow(
    home: Home,
    seconds: Annotated[float, typer.Option("--seconds", help="How long; for ever, if not given.")] = float("inf"),
) -> None:
    """Score what comes with whichever version is challenger, off the answers' path and at the lowest priority."""
    from waferlens.wiring.lifecycle import open_life
    from waferlens.wiring.replay import run_shadow

    ends = time.monotonic() + seconds
    num = run_shadow(open_life(home), until=lambda: time.monotonic() > ends, say=console.status_console().print)
    console.print_line(f"{num} images scored")


@app.command()
def compare(home: Home, version: VersionName, days: Days = 7.0) -> None:
    """Champion and a version on the images that both scored: decisions, scores, latency, differences; as JSON."""
    from waferlens.wiring.lifecycle import open_life
    from waferlens.wiring.replay import compare_version

    console.print_json(compare_version(open_life(home), version, days=days))


def replay(
    home: Home,
    version: VersionName,
    days: Days = 7.0,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes. [one a core]")] = None,
    ray: Annotated[str | None, typer.Option("--ray", help="HOST:PORT of a Ray cluster instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score the last days of recorded images with a registered version; run again, it goes on where it stopped."""
    from waferlens.wiring.lifecycle import open_life
    from waferlens.wiring.replay import replay_version

    with console.progress_bars() as bars:
        done = replay_version(open_life(home), version, days=days, ray=ray, num=workers, count=bars.count)
    told = vars(done) | {"images_per_second": done.images_per_second}
    if as_json:
        console.print_json(told)
        return
    console.print_line(
        f"{done.num_scored} images in {done.seconds:.1f} s, {done.images_per_second:.1f} a second; "
        f"{done.num_failed} failed; now: waferlens rollout compare"
    )


def _follow(lines: list[str]) -> None:
    for line in lines:
        console.status_console().print(line, soft_wrap=True)
