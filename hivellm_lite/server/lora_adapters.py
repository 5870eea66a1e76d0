"""Experts that come and go while the server runs, as vLLM loads and unloads LoRA adapters.

``POST /v1/load_lora_adapter {"lora_name": "sql", "lora_path": "sql.expert"}`` and
``POST /v1/unload_lora_adapter {"lora_name": "sql"}``. Off, unless ``--allow-loading DIR`` names the
folder that packages may come from.
"""

from __future__ import annotations

import logging
import re
from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ..errors import ExpertError, InferenceError, LoadError
from ..inference.off_loop import LOADING, off_loop
from .body import read_body
from .errors import APIError, invalid
from .experts import model_not_found
from .fields import Fields
from .service import Service, service_of

__all__ = ["load_adapter", "unload_adapter"]

logger = logging.getLogger("hivellm_lite.server")

_NAME = re.compile(r"[\w.-]{1,128}", re.ASCII)
"""Without the characters of a blend."""


async def load_adapter(request: Request) -> Response:
    """Load a package under a name. Answers of other experts go on meanwhile."""
    service = service_of(request)
    folder = _allowed(service)
    body = await read_body(request)
    name, path = _name(body), _path(body, folder)
    with service.admission.place():
        await off_loop(partial(_load, service, name, path), threads=LOADING)
    return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")


async def unload_adapter(request: Request) -> Response:
    """Forget an expert; what it answers at the moment ends."""
    service = service_of(request)
    _allowed(service)
    body = await read_body(request)
    name = _name(body)
    if name not in service.names():
        raise model_not_found(name, service.names())
    await off_loop(partial(_unload, service, name), threads=LOADING)
    return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")


def _allowed(service: Service) -> Path:
    folder = service.options.allow_loading
    if folder is None:
        message = "This server loads no experts. Start it with --allow-loading DIR."
        raise APIError(403, message, code="loading_not_allowed")
    return Path(folder)


def _name(body: Fields) -> str:
    body.required("lora_name")
    name = body.text("lora_name") or ""
    if not _NAME.fullmatch(name):
        message = "Invalid 'lora_name': use 1 to 128 letters, digits and _ - . in it."
        raise invalid("lora_name", message)
    return name


def _path(body: Fields, folder: Path) -> Path:
    """The package, which lies inside ``folder`` when all links are followed."""
    body.required("lora_path")
    given = body.text("lora_path") or ""
    outside = invalid(
        "lora_path", "Invalid 'lora_path': there is no such package in the folder for packages."
    )
    try:
        root = folder.resolve(strict=True)
        path = (root / given).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # missing, a control character, a circle of links
        raise outside from None
    if root not in path.parents:
        raise outside
    return path


def _load(service: Service, name: str, path: Path) -> None:
    try:
        service.manager.load_expert(name, path)
    except ValueError as error:  # the name is taken or reserved
        raise invalid("lora_name", f"Invalid 'lora_name': {error}", code="name_taken") from None
    except ExpertError as error:
        logger.error("%s: %s", name, error)
        message = "The package cannot be loaded. The server's log says why."
        raise invalid("lora_path", message, code="expert_not_loaded") from None


def _unload(service: Service, name: str) -> None:
    try:
        service.manager.unload_expert(name)
    except LoadError as error:  # another expert needs it
        raise APIError(409, str(error), param="lora_name", code="expert_required") from None
    except InferenceError:  # unloaded meanwhile
        raise model_not_found(name, service.names()) from None
