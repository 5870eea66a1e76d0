"""Commands as a shell needs them for completion: without importing what they do.

To complete a word, click asks the commands themselves for their options. Importing a command loads
numpy and much of the library, for which nobody wants to wait after the tab key. So
``completion_table.json`` holds the names, options and types of all commands.
``scripts/make_cli_docs.py`` writes the file, and a test fails when it is not up to date.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .package_type import PackageType

__all__ = ["TABLE", "command_from_table", "table_of", "written"]

TABLE = Path(__file__).with_name("completion_table.json")

Entry = dict[str, Any]


def table_of(command: click.Command, parent: click.Context | None = None) -> Entry:
    """What the table holds of a command and of all its subcommands."""
    settings = command.context_settings
    context = click.Context(command, parent, help_option_names=settings.get("help_option_names"))
    entry: Entry = {"help": command.get_short_help_str(limit=80)}
    if isinstance(command, click.Group):
        found = {
            name: command.get_command(context, name) for name in command.list_commands(context)
        }
        entry["commands"] = {name: table_of(one, context) for name, one in found.items() if one}
    entry["parameters"] = [_parameter(one) for one in command.get_params(context)]
    return entry


def written(entry: Entry) -> str:
    """The table as JSON, one parameter a line."""
    head = f'{{"help": {json.dumps(entry["help"])},'
    below = ",\n".join(f"{json.dumps(n)}: {written(one)}" for n, one in _commands(entry).items())
    parameters = ",\n".join(map(json.dumps, entry["parameters"]))
    commands = f'\n"commands": {{\n{below}\n}},' if below else ""
    return f'{head}{commands}\n"parameters": [\n{parameters}\n]}}'


def _commands(entry: Entry) -> dict[str, Entry]:
    found: dict[str, Entry] = entry.get("commands", {})
    return found


def command_from_table(name: str) -> click.Command | None:
    """The command of this name, able to be completed and nothing else; None if there is none."""
    entry = json.loads(TABLE.read_bytes())["commands"].get(name)
    return None if entry is None else _command(name, entry)


def _command(name: str, entry: Entry) -> click.Command:
    parameters = [_made(one) for one in entry["parameters"]]
    options: dict[str, Any] = {"params": parameters, "short_help": entry["help"]}
    options["add_help_option"] = False
    if commands := {below: _command(below, one) for below, one in _commands(entry).items()}:
        return click.Group(name, commands=commands, **options)
    return click.Command(name, **options)


def _parameter(parameter: click.Parameter) -> Entry:
    entry: Entry = {"names": [*parameter.opts, *parameter.secondary_opts]}
    if parameter.nargs != 1:
        entry["nargs"] = parameter.nargs
    if kind := _type(parameter.type):
        entry["type"] = kind
    if isinstance(parameter, click.Option):
        flags = parameter.is_flag or parameter.count
        more = {
            "flag": flags,
            "multiple": parameter.multiple,
            "hidden": parameter.hidden,
            "help": (parameter.help or "").split("\n")[0],
        }
        entry |= {key: value for key, value in more.items() if value}
    else:
        entry["argument"] = parameter.name
    return entry


def _made(entry: Entry) -> click.Parameter:
    kind = _made_type(entry.get("type"))
    nargs = entry.get("nargs", 1)
    if "argument" in entry:
        return click.Argument([entry["argument"]], nargs=nargs, type=kind, required=False)
    is_flag = entry.get("flag", False)
    return click.Option(
        entry["names"],
        is_flag=is_flag,
        multiple=entry.get("multiple", False),
        nargs=nargs,
        hidden=entry.get("hidden", False),
        help=entry.get("help"),
        type=None if is_flag else kind,
    )


def _type(kind: click.ParamType[Any]) -> Entry | None:
    """The types for which a shell has something to offer."""
    if isinstance(kind, PackageType):
        return {"installed": kind.installed, "files": kind.files, "named": kind.named}
    if isinstance(kind, click.Choice):
        return {"choices": [*kind.choices], "case": kind.case_sensitive}
    if isinstance(kind, click.Path | click.File):
        return {"folder": isinstance(kind, click.Path) and not kind.file_okay}
    return None


def _made_type(entry: Entry | None) -> click.ParamType[Any]:
    if entry is None:
        return click.STRING
    if "installed" in entry:
        return PackageType(**entry)
    if "choices" in entry:
        return click.Choice(entry["choices"], case_sensitive=entry["case"])
    return click.Path(file_okay=not entry["folder"])
