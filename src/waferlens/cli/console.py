"""What the commands show: status lines, progress bars, tables, errors of one line. Nothing is decided here."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table


def status_console() -> Console:
    """Standard error: what is being done. Standard output is kept for results that a script may read."""
    return Console(stderr=True, highlight=False)


def print_error(message: str) -> None:
    """One line on standard error, whatever the message holds."""
    one_line = " ".join(message.split())
    status_console().print(f"[bold red]error[/]: {escape(one_line)}", soft_wrap=True)


def print_line(text: str) -> None:
    """One line on standard output, as it is."""
    sys.stdout.write(f"{text}\n")


def print_json(content: Any) -> None:
    """A JSON value on standard output."""
    sys.stdout.write(json.dumps(content, indent=2) + "\n")


def print_json_line(content: Any) -> None:
    """A JSON value on one line of standard output, at once."""
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on standard output; the first column to the left, the others to the right."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console(highlight=False).print(table)


class Bars:
    """Progress bars that come and go as a job moves on; ``say`` puts a line above them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._counting: TaskID | None = None
        self._training: TaskID | None = None

    def say(self, message: str) -> None:
        """Close the counting bar and write one line."""
        self._close_counting()
        self._progress.console.print(f"[dim]·[/] {escape(message)}", soft_wrap=True)

    def count(self, done: int, total: int) -> None:
        """A bar for things that are counted; it vanishes when all are done."""
        if self._counting is None:
            self._counting = self._progress.add_task("images", total=total, note="")
        self._progress.update(self._counting, completed=done, total=total)
        if done >= total:
            self._close_counting()

    def watch(self, step: Any) -> None:
        """A bar for training: epochs and steps, losses, time left. Takes ``training.loop.Progress``."""
        if self._training is None:
            self._close_counting()
            self._training = self._progress.add_task("training", total=step.epochs * step.steps_an_epoch, note="")
        if not self._progress.console.is_terminal and step.step == step.steps_an_epoch:
            self._log_epoch(step)
        note = (
            f"epoch {step.epoch + 1}/{step.epochs}  reconstruction {step.reconstruction:,.0f}  KL {step.kl:,.0f}  "
            f"held out {step.validation:,.0f}"
        )
        done = step.epoch * step.steps_an_epoch + step.step
        self._progress.update(self._training, completed=done, note=note)

    def _log_epoch(self, step: Any) -> None:
        """A line for each tenth of the epochs, for logs: a bar is of no use there."""
        if (step.epoch + 1) % max(1, step.epochs // 10) == 0:
            losses = f"reconstruction {step.reconstruction:,.1f}  KL {step.kl:,.1f}"
            self._progress.console.print(f"  epoch {step.epoch + 1}/{step.epochs}  {losses}")

    def _close_counting(self) -> None:
        if self._counting is not None:
            self._progress.remove_task(self._counting)
            self._counting = None


@contextmanager
def progress_bars() -> Iterator[Bars]:
    """Bars on standard error while the block runs; only the lines between them where there is no terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    console = status_console()
    with Progress(*columns, console=console, refresh_per_second=4, disable=not console.is_terminal) as progress:
        yield Bars(progress)
