"""A group of commands of which one need not be named: ``bench BUNDLE`` is ``bench engines BUNDLE``."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

DEFAULT = "engines"


class DefaultingGroup(TyperGroup):
    """Puts the default command in front of arguments that begin with no command of the group."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See ``click.Group.parse_args``."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)
