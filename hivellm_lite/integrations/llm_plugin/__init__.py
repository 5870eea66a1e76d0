"""A plugin of the command ``llm``: every expert is a model, with schemas, tools and coroutines.

``llm -m sql.expert "…"`` asks the package ``sql.expert`` of the current folder, or else the
installed expert ``sql``. ``llm -m hivellm -o expert PATH "…"`` asks any package.

Needs the extra ``llm``: ``pip install 'hivellm-lite[llm]'``.

Private: may change in any release. Public are the models' names and options.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...installation.installed_names import installed_names
from ..missing import missing

try:
    import llm

    from .models import AsyncExpertModel, ExpertModel
    from .options import ANY
except ModuleNotFoundError as error:
    raise missing(error, "llm") from None

__all__ = ["register_models"]

SUFFIX = ".expert"


@llm.hookimpl
def register_models(register: Callable[..., None]) -> None:
    """The installed experts, the packages of the current folder, and ``hivellm``."""
    found: dict[str, str | None] = {f"{name}{SUFFIX}": name for name in installed_names()}
    found |= {path.name: str(path) for path in sorted(Path().glob(f"?*{SUFFIX}"))}
    for model_id, model in {**found, ANY: None}.items():
        register(ExpertModel(model_id, model), AsyncExpertModel(model_id, model))
