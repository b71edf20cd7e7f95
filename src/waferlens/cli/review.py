"""``review queue``, ``review agreement``, ``review export``: the review from the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from waferlens.cli import console, tables
from waferlens.cli.arguments import AsJson
from waferlens.cli.service import Home, operator
from waferlens.storage.stored import DAY_MS, clock_ms

app = typer.Typer(no_args_is_help=True, help="What people say of the images: queue, agreement, labels.")

Days = Annotated[float, typer.Option("--days", min=0.001, max=100_000, help="The last so many days.")]


@app.command("queue")
def queue(home: Home, as_json: AsJson = False) -> None:
    """How much waits for people, and since when; inspections that no program has admitted yet are."""
    from waferlens.settings.service import load_service_settings
    from waferlens.wiring.record import open_record
    from waferlens.wiring.review import open_review

    settings = load_service_settings(home)
    review = open_review(open_record(home), settings.review, settings.num_points())
    num_admitted = review.begin()
    waiting = review.queue.waiting()
    now_ms = clock_ms()
    figures = vars(waiting) | {
        "oldest_seconds": None if waiting.oldest_ms is None else max(0, now_ms - waiting.oldest_ms) / 1000,
        "num_admitted": num_admitted,
    }
    if as_json:
        console.print_json(figures)
    else:
        tables.print_facts("The review queue", {name: str(value) for name, value in figures.items()})


@app.command("agreement")
def agreement(home: Home, days: Days = 7.0, as_json: AsJson = False) -> None:
    """How well people agree with each other, with known answers and with the model; what the blind audit shows.

    All people together: figures of one person are for that person and the quality engineer, in the station.
    """
    from waferlens.settings.service import load_service_settings
    from waferlens.wiring.record import open_record
    from waferlens.wiring.review import open_review

    settings = load_service_settings(home)
    figures = open_review(open_record(home), settings.review, settings.num_points()).figures
    told = figures.line(figures.last_days(days)).as_dict()
    if as_json:
        console.print_json(told)
    else:
        _print_agreement(told, days)


@app.command("export")
def export(
    home: Home,
    out: Annotated[Path, typer.Option("--out", help="A new folder.", show_default=False)],
    table: Annotated[Literal["csv", "parquet"], typer.Option("--table", help="Of the manifest.")] = "csv",
    days: Annotated[
        float | None, typer.Option("--days", min=0.001, help="Inspections of the last so many days. [all]")
    ] = None,
) -> None:
    """Write what people settled as a data set that `train` and `evaluate` read; prints what it holds as JSON."""
    from waferlens.wiring.record import open_record
    from waferlens.wiring.review import export_labels

    until_ms = clock_ms() + 1
    since_ms = 0 if days is None else max(0, until_ms - round(days * DAY_MS))
    exported = export_labels(
        open_record(home), out, since_ms=since_ms, until_ms=until_ms, table=table, actor=operator()
    )
    console.print_json(exported.as_dict())


def _print_agreement(told: Mapping[str, Any], days: float) -> None:
    rows = [
        [f"two people, {name}", _number(kappa["kappa"]) or str(kappa["why_undefined"]), str(kappa["num_subjects"])]
        for name, kappa in told["people"].items()
    ]
    pairs = told["people"]["cohen"]
    rows.append(["two people say the same", _percent(pairs["agreement"]), str(pairs["num_subjects"])])
    named = {
        **{f"known answers, {name}": rate for name, rate in told["reference"].items()},
        **{f"after the score, {name}": rate for name, rate in told["seeing"].items()},
        **{f"model said {kind}, people say normal": rate for kind, rate in told["overrides"].items()},
        "escapes in the blind audit": told["escapes"]["rate"],
    }
    rows += [
        [name, _percent(rate["rate"]), f"{rate['num_events']} of {rate['num_trials']}"]
        for name, rate in named.items()
    ]
    console.print_table(f"{told['num_looks']} looks in {days:g} days", ["figure", "95 % interval", "of"], rows)


def _number(estimate: Mapping[str, float | None] | None) -> str | None:
    if estimate is None:
        return None
    return f"{estimate['value']:.3f} [{_end(estimate['low'])}, {_end(estimate['high'])}]"


def _end(value: float | None) -> str:
    return "?" if value is None else f"{value:.3f}"


def _percent(estimate: Mapping[str, float | None] | None) -> str:
    if estimate is None or estimate["value"] is None:
        return "nothing to count"
    low, high = (estimate[end] for end in ("low", "high"))
    told = f"{estimate['value']:.2%}"
    return told if low is None or high is None else f"{told} [{low:.2%}, {high:.2%}]"
