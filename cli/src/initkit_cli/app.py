"""The command tree. Each command is a module of :mod:`initkit_cli.commands`, imported when it is asked for."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from initkit.plugins import TRACE

COMMANDS = ("apply", "inspect", "compare", "recommend", "diff", "list", "show", "cite", "plugins", "plugin")
"""Names of the commands, in the order of ``--help``; ``NAME`` is the ``app`` of ``initkit_cli.commands.NAME``."""

_NARROW = 60


def style() -> dict[str, Any]:
    """How every command is set up: boxes on a terminal that is wide enough, plain text elsewhere."""
    boxes = sys.stdout.isatty() and shutil.get_terminal_size().columns >= _NARROW
    return {
        "rich_markup_mode": "rich" if boxes else None,
        "add_completion": False,
        "context_settings": {"help_option_names": ["-h", "--help"]},
    }


class _LightHelp:
    """Keeps ``--help`` from costing anything when it is not given."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option, with a default: for None typer imports pydantic to convert it."""
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None and option.default is None:
            option.default = False
        return option


class Command(_LightHelp, TyperCommand):
    """A command."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for param in self.params:
            _leave_nothing_alone(param)


class _Telling(_LightHelp, TyperGroup):
    """Says what is near where there is no command of a name."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command of the first word."""
        from initkit.errors import did_you_mean

        names = self.list_commands(ctx)
        if args and args[0] not in names and not args[0].startswith("-"):
            ctx.fail(f"no such command {args[0]!r}{did_you_mean(args[0], names)}; there are {', '.join(names)}")
        return super().resolve_command(ctx, args)


class Subgroup(_Telling):
    """Commands under one word."""


class Group(_Telling):
    """The commands, each imported on first use."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of ``--help``."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command's module and build it."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"initkit_cli.commands.{cmd_name}")
        found = typer.main.get_command(module.app)
        found.name = cmd_name
        return found


def command() -> Any:
    """The whole command line."""
    look = {**style(), "add_completion": True}
    app = typer.Typer(cls=Group, no_args_is_help=False, invoke_without_command=True, **look)

    @app.callback()
    def initkit(
        context: typer.Context,
        version: Annotated[
            bool, typer.Option("--version", is_eager=True, help="Show the versions of core, plugins and torch.")
        ] = False,
        trace: Annotated[
            bool, typer.Option("--trace", help="Print to stderr what plugins are asked, as INITKIT_TRACE=1 does.")
        ] = False,
    ) -> None:
        """How a network starts: see, apply, compare and cite weight initialisation recipes for PyTorch models."""
        if trace:
            os.environ[TRACE] = "1"
        if version:
            from initkit_cli.versions import versions

            print("\n".join(f"{name} {number}" for name, number in versions()))
            raise typer.Exit
        if context.invoked_subcommand is None:
            print(context.get_help())

    found: Any = typer.main.get_command(app)
    for param in found.params:
        _leave_nothing_alone(param)
    return found


def _leave_nothing_alone(param: Any) -> None:
    """Keep typer from importing pydantic to convert the None of an option that is not given."""
    convert = param.process_value

    def process(context: Any, value: Any) -> Any:
        return None if value is None and not param.required else convert(context, value)

    param.process_value = process
