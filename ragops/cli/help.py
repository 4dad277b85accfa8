"""Help as in gh and kubectl: commands in groups, whole sentences, the global options in the help of every command."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from ragops.cli.global_options import FLAGS, VALUES, hoist

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Headings of `ragops --help`, in this order.
PROVISION, OBSERVE, PROTECT = "Provision", "Observe", "Protect"
DATA, ACCESS, TOOLS = "Data", "Access", "Tools"
PANELS = (PROVISION, OBSERVE, PROTECT, DATA, ACCESS, TOOLS)

_GLOBAL = {*FLAGS, *VALUES}


class Command(TyperCommand):
    """A command that shows and completes the global options after its own."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, for a shell's completion with the global ones."""
        return _with_global(super().get_params(ctx), ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what follows the command's name in its usage line."""
        return ["[OPTIONS]", *(_placeholder(one) for one in super().get_params(ctx) if _is_argument(one))]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, options and global options."""
        _write_parameters(super().get_params(ctx), ctx, formatter)


class Group(TyperGroup):
    """A group of commands, listed by their headings with the first line of their help in full."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse `args`; the outermost group takes global options from behind a command's name, too."""
        return super().parse_args(ctx, hoist(args) if ctx.parent is None else args)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, for a shell's completion with the global ones."""
        return _with_global(super().get_params(ctx), ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write commands, options and global options: what is looked for most comes first."""
        self.format_commands(ctx, formatter)
        _write_parameters(super().get_params(ctx), ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each heading with its commands; sentences are wrapped, never cut."""
        shown = [(name, self.commands[name]) for name in self.list_commands(ctx) if not self.commands[name].hidden]
        width = max((len(name) for name, _ in shown), default=0)
        for panel in (*PANELS, ""):
            rows = [(name.ljust(width), _first_line(command)) for name, command in shown if _panel(command) == panel]
            if rows:
                with formatter.section(panel or "Commands"):
                    formatter.write_dl(rows)


class Application(typer.Typer):
    """A Typer whose commands and groups have this help."""

    def __init__(self, **settings: Any) -> None:
        """Make a group that shows its help if no command is given."""
        super().__init__(cls=Group, no_args_is_help=True, rich_markup_mode=None, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Return the decorator that adds a command."""
        return super().command(name, cls=Command, **settings)

    @cached_property
    def tree(self) -> Any:
        """The groups and commands as they are run: made once, since it reads the signature of every command."""
        return typer.main.get_command(self)


def _panel(command: Any) -> str:
    panel = getattr(command, "rich_help_panel", None)
    return panel if panel in PANELS else ""


def _first_line(command: Any) -> str:
    return str(command.help or "").partition("\n")[0]


def _global_parameters(ctx: Any) -> list[Any]:
    return [one for one in ctx.find_root().command.params if _GLOBAL & {*one.opts}]


def _with_global(own: list[Any], ctx: Any) -> list[Any]:
    if not ctx.resilient_parsing or ctx.parent is None:
        return own
    return [*own, *_global_parameters(ctx)]


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _placeholder(argument: Any) -> str:
    """Return how the argument is written in usage and help: NAME, [NAME] or [NAME]..., whatever Typer makes of it."""
    name = argument.metavar or argument.name.upper()
    return f"{name if argument.required else f'[{name}]'}{'' if argument.nargs == 1 else '...'}"


def _help_record(parameter: Any, ctx: Any) -> tuple[str, str] | None:
    record = parameter.get_help_record(ctx)
    return (_placeholder(parameter), record[1]) if record and _is_argument(parameter) else record


def _write_parameters(own: Sequence[Any], ctx: Any, formatter: Any) -> None:
    shared = _global_parameters(ctx)
    sections: dict[str, list[Any]] = {"Arguments": [], "Options": [], "Global options": shared}
    for parameter in own:
        if parameter not in shared:
            sections["Arguments" if _is_argument(parameter) else "Options"].append(parameter)
    for title, parameters in sections.items():
        records = [record for one in parameters if (record := _help_record(one, ctx))]
        if records:
            with formatter.section(title):
                formatter.write_dl(records)
