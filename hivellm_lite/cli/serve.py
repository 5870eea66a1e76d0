"""``hivellm-lite serve``: experts behind OpenAI's API."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..manager import ExpertManager
from ..memory_estimate import parse_bytes
from ..server.key_file import read_keys
from ..server.options import APIKey, ServerOptions
from ..terminal_text import one_line
from ..toml_text import parse_toml
from .options import load_arguments, model_options, progress_bar
from .output import say
from .package_type import PackageType
from .packages import load_experts, named_packages, open_packages

__all__ = ["serve"]

_SERVER_OPTIONS = (
    *("host", "port", "insecure", "allowed_hosts", "cors", "queue", "timeout", "drain", "ttl"),
    *("allow_loading", "max_tokens", "max_body"),
)


def _read_config(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    """Take options from a TOML file; those of the command line win."""
    if value is None:
        return
    try:
        found = parse_toml(Path(value).read_bytes())
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{value}: {error}") from None
    config = {name.replace("-", "_"): given for name, given in found.items()}
    known = {one.name for one in ctx.command.params if one.name not in (None, "config")}
    if unknown := sorted(config.keys() - known):
        raise click.BadParameter(
            f"{value}: there is no option {unknown[0]!r}; "
            f"there are {', '.join(sorted(name for name in known if name))}"
        )
    experts = config.get("packages")
    if isinstance(experts, dict):
        config["packages"] = [f"{name}={path}" for name, path in experts.items()]
    ctx.default_map = {**(ctx.default_map or {}), **config}


@click.command()
@click.argument("packages", nargs=-1, metavar="[NAME=]PACKAGE...", type=PackageType(named=True))
@click.option(
    "--config",
    type=click.Path(dir_okay=False),
    metavar="FILE.toml",
    is_eager=True,
    expose_value=False,
    callback=_read_config,
    help="Take options from this file, by their long names; PACKAGEs as packages = […] or "
    "[packages] NAME = PATH.",
)
@click.option(
    "--ray",
    type=click.Path(dir_okay=False),
    metavar="FILE.toml",
    help="Serve a fleet on the machines of a Ray cluster: everything is said in this file, also "
    "how many replicas compute, in [cluster]. Needs the extra 'ray'.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=8000, show_default=True, help="0 for a free one.")
@click.option(
    "--api-key-file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Clients must send one of these keys: one a line, maybe with a name before it.",
)
@click.option(
    "--insecure", is_flag=True, help="Listen on other addresses than loopback without keys."
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="A name under which clients may ask, beside localhost; may be repeated.",
)
@click.option(
    "--cors",
    multiple=True,
    metavar="ORIGIN",
    help="Pages from here may ask, such as https://example.org; * for all; may be repeated.",
)
@click.option(
    "--preload",
    is_flag=True,
    help="Load every expert now, not only the first one. [default: at its first use]",
)
@click.option(
    "--ttl",
    type=float,
    metavar="SECONDS",
    help="Take experts out of memory that nobody asks for so long [default: never].",
)
@click.option(
    "--allow-loading",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Clients may load packages from this folder, and unload experts.",
)
@click.option("--max-loaded-experts", type=int, help="Experts in memory at once [default: all].")
@click.option("--max-memory", metavar="BYTES", help="For models and adapters, such as 4GB.")
@click.option(
    "--own-context-bytes",
    metavar="BYTES",
    help="For contexts of experts that are asked often, such as 4GB; 0 makes none [default: half "
    "of a GPU's free memory; none on a CPU].",
)
@click.option(
    "--queue", type=int, default=256, show_default=True, help="Answers that wait or run at most."
)
@click.option(
    "--timeout", type=float, default=600.0, show_default=True, help="Seconds for one request."
)
@click.option(
    "--max-tokens", type=int, help="Most tokens of one answer [default: as long as the context]."
)
@click.option(
    "--max-body", metavar="BYTES", default="8MiB", show_default=True, help="Of one request's body."
)
@click.option(
    "--drain",
    type=float,
    default=30.0,
    show_default=True,
    help="Seconds that running answers have to end after SIGTERM.",
)
@click.option("--quiet", is_flag=True, help="Write no line for each request.")
@model_options
@click.pass_obj
def serve(
    settings: dict[str, Any],
    /,
    packages: tuple[str, ...],
    ray: str | None,
    api_key_file: str | None,
    max_loaded_experts: int | None,
    max_memory: str | None,
    own_context_bytes: str | None,
    quiet: bool,
    preload: bool,
    **options: Any,
) -> None:
    """Serve the experts in PACKAGE... with OpenAI's API, and a page to try them.

    Clients name an expert as their model; "auto" chooses one by the prompt, "base" asks the
    base model alone. SIGTERM and Ctrl-C let running answers end first. Needs the extra
    "server": pip install 'hivellm-lite[server]'.

    \b
    For example:
      hivellm-lite serve sql.expert graph=cypher.expert --base model.gguf
      curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\
        -d '{"model": "sql", "messages": [{"role": "user", "content": "How many users?"}]}'
    """  # noqa: D301 - click looks for the control character
    try:
        from ..server.application import create_server
        from ..server.run import evict_idle
        from ..server.run import serve as run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("hivellm_lite"):
            raise
        raise click.UsageError(
            f"{error.name} is not installed: run pip install 'hivellm-lite[server]'"
        ) from None
    if ray is not None:
        _refuse_beside_a_file()
        _serve_fleet(ray, quiet=quiet)
        return
    if not packages and options["allow_loading"] is None:
        raise click.UsageError("name at least one package, or give --allow-loading")
    given = {name: options.pop(name) for name in _SERVER_OPTIONS}
    given["max_body"] = parse_bytes(given["max_body"])
    keys = _keys(api_key_file)
    server_options = ServerOptions(keys=keys, **given)
    arguments = load_arguments(settings, options)
    if own_context_bytes is not None:
        own = own_context_bytes
        arguments["own_context_bytes"] = 0 if own == "0" else parse_bytes(own)
    opened = open_packages(
        settings,
        named_packages(packages),
        verify=arguments["verify"],
        offline=arguments["offline"],
    )
    with ExpertManager(
        max_loaded_experts=max_loaded_experts, max_memory=max_memory, **arguments
    ) as manager:
        with progress_bar() as progress:
            load_experts(manager, opened, progress, at_once=len(opened) if preload else 1)
        app = create_server(manager, server_options, log=None if quiet else say)
        ttl = server_options.ttl
        run(
            app,
            server_options,
            app.state.service.admission,
            lambda address: say(_greeting(address, opened)),
            beside=[] if ttl is None else [partial(evict_idle, manager, ttl)],
        )


def _refuse_beside_a_file() -> None:
    """Options that a fleet's file should say; beside it they would mean nothing."""
    ctx = click.get_current_context()
    for parameter in ctx.command.params:
        name = parameter.name or ""
        given = ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)
        if given and name not in ("ray", "quiet"):
            said = "the packages" if name == "packages" else parameter.opts[0]
            raise click.UsageError(f"with --ray, say {said} in its file")


def _serve_fleet(path: str, *, quiet: bool) -> None:
    """Serve the fleet that the file describes."""
    if importlib.util.find_spec("ray") is None:
        raise click.UsageError("Ray is not installed: run pip install 'hivellm-lite[ray]'")
    from ..cluster.config import read_fleet
    from ..cluster.options import Fleet
    from ..cluster.run import run

    def greet(address: str, fleet: Fleet) -> None:
        say(_greeting(address, fleet.packages))

    try:
        read_fleet(path)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--ray: {error}") from None
    run(lambda: read_fleet(path), greet, say, log=None if quiet else say)


def _greeting(address: str, packages: Mapping[str, object]) -> str:
    experts = ", ".join(one_line(name, 60) for name in packages) or "no expert yet"
    return f"Serving {experts} at {address}/v1, a page at {address}/"


def _keys(path: str | None) -> tuple[APIKey, ...]:
    if path is None:
        return ()
    try:
        return read_keys(path)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
