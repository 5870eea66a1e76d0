"""Installing as a user asks for it: some sources or names, with what they require."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import PackageError
from ..expert_home import expert_home
from ..progress import Progress
from ..sources.settings import Settings
from ..user_paths import path_exists
from .asked import asked_name
from .home import ExpertHome
from .placing import Outcome, place
from .preparing import Preparer
from .requires import find_source, with_required
from .updates import Update, apply_updates, plan_updates
from .wanted import Checks, Wanted

__all__ = ["install", "update", "wanted_of_text"]


def wanted_of_text(text: str, settings: Settings, *, offline: bool, link: bool = False) -> Wanted:
    """What ``text`` asks to install: a source, or the name of an expert in one of the indexes.

    Raises PackageError for a name that no index has.
    """
    asked = asked_name(text)
    if asked is None or link or path_exists(Path(text)):
        return Wanted(text, link=link)
    if (found := find_source(asked, settings, offline=offline)) is not None:
        return found
    where = ", ".join(settings.indexes) or "none is configured"
    raise PackageError(
        f"{text}: no such file or folder here, and no index has an expert of this name\n"
        f"Indexes: {where}\n"
        f"Give a file, a folder, owner/repository on the Hub or git+https://…, or name an index in "
        f"{expert_home() / 'config.toml'} (or HIVELLM_INDEXES)."
    )


def install(
    home: ExpertHome,
    wanted: Sequence[Wanted],
    settings: Settings,
    *,
    checks: Checks,
    requires: bool = True,
    progress: Progress | None = None,
) -> tuple[Outcome, ...]:
    """Install everything in ``wanted``, or nothing; with ``requires`` what it needs comes along.

    Raises PackageError, ManifestError, LoadError or RegistryError.
    """
    registry = home.read()
    with home.workplace(registry) as work:
        preparer = Preparer(home, work, checks, progress)
        prepared = tuple(preparer.prepare(one) for one in wanted)
        if requires:
            prepared = with_required(preparer, prepared, registry.versions(), settings)
        return place(home, prepared)


def update(
    home: ExpertHome,
    names: Sequence[str],
    settings: Settings,
    *,
    checks: Checks,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> tuple[Update, ...]:
    """Update the experts of these names, or all; with ``dry_run`` only look.

    An expert that cannot be updated does not keep the others from it: its `Update` is "refused".
    Raises what `install` raises for what cannot be put into place.
    """
    registry = home.read()
    with home.workplace(registry) as work:
        preparer = Preparer(home, work, checks, progress)
        updates = plan_updates(home, preparer, names, settings, force=force)
        ready = [one.prepared for one in updates if one.prepared and one.kind != "refused"]
        if ready and not dry_run:
            needed = with_required(preparer, ready, registry.versions(), settings)
            apply_updates(home, updates, needed[: len(needed) - len(ready)])
        return updates
