"""The packages on a command line, as a type: what a shell offers where one is expected.

Importing this module loads nothing but click, so that a shell need not wait.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ..installation.installed_names import installed_names

if TYPE_CHECKING:
    _ParamType = click.ParamType[str]
else:
    _ParamType = click.ParamType

__all__ = ["PackageType"]

_NAMED = re.compile(r"[\w.-]+=")
_PLAIN = re.compile(r"\w[\w.+-]*")
"""Names that a shell takes as they are. Others are not offered: nobody checked a registry."""

_PREFIX = "expert-"
"""``sql`` is short for ``expert-sql``."""


class PackageType(_ParamType):
    """An installed expert, an ``.expert`` file, a folder, or a repository; passed on as text.

    ``installed``: whether names of installed experts are offered. ``files``: which files are:
    ``"expert"`` (``.expert`` files and folders), ``"file"`` (all) or ``""`` (none). ``named``:
    whether ``NAME=`` may stand before the package.
    """

    name = "package"

    def __init__(
        self, *, installed: bool = True, files: str = "expert", named: bool = False
    ) -> None:
        self.installed = installed
        self.files = files
        self.named = named

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        match = _NAMED.match(incomplete) if self.named else None
        before = match[0] if match else ""
        begun = incomplete[len(before) :]
        items = []
        if self.installed:
            items = [
                CompletionItem(f"{before}{name}", help=told)
                for name, told in _offered(installed_names(), begun)
            ]
        if self.files:
            items.append(CompletionItem(begun, type=self.files, before=before))
        return items


def _offered(installed: Mapping[str, Sequence[str]], begun: str) -> list[tuple[str, str]]:
    """Names that continue ``begun``, each with its versions in words; after ``@`` the versions."""
    known = {
        name: [one for one in versions if _PLAIN.fullmatch(one)]
        for name, versions in installed.items()
        if _PLAIN.fullmatch(name)
    }
    short = {
        name.removeprefix(_PREFIX): versions
        for name, versions in known.items()
        if name.startswith(_PREFIX)
    }
    known = {**known, **{name: one for name, one in short.items() if begun and name not in known}}
    name, at, _ = begun.partition("@")
    if at:
        whole = [f"{name}@{version}" for version in known.get(name, ())]
        return [(one, "") for one in whole if one.startswith(begun)]
    found = [(name, versions) for name, versions in known.items() if name.startswith(begun)]
    return [(name, ", ".join(versions)) for name, versions in sorted(found)]
