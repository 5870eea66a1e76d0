"""``GET /v1/models``: the experts, their base, and the choice by the prompt."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..errors import InferenceError
from ..inference.off_loop import off_loop
from ..manager import ExpertManager
from ..residency.names import AUTO, BASE
from .experts import model_not_found
from .service import service_of

__all__ = ["get_model", "list_models"]


async def list_models(request: Request) -> Response:
    """All models."""
    manager = service_of(request).manager
    models = await off_loop(lambda: list(_models(manager)))
    return JSONResponse({"object": "list", "data": models})


async def get_model(request: Request) -> Response:
    """One model by its name. Raises APIError for an unknown one."""
    name, manager = request.path_params["model"], service_of(request).manager
    models = {model["id"]: model for model in await off_loop(lambda: list(_models(manager)))}
    if name not in models:
        raise model_not_found(name, [str(one) for one in models if one not in (AUTO, BASE)])
    return JSONResponse(models[name])


def _models(manager: ExpertManager) -> Iterator[dict[str, object]]:
    """Each expert as OpenAI and vLLM list models, the last used first; then the base and auto."""
    newest, base_files = 0, []
    for status in manager.list_loaded_experts():
        try:
            manifest = manager.manifest(status.name)
        except InferenceError:  # unloaded meanwhile
            continue
        created = int(status.loaded_at)
        newest = max(newest, created)
        base_files.append(status.base)
        yield {
            "id": status.name,
            "object": "model",
            "created": created,
            "owned_by": manifest.author or "hivellm",
            "root": manifest.identity,
            "parent": BASE,
            "description": manifest.description,
            "capabilities": list(manifest.capabilities),
            "base": status.base,
            "state": status.state,
        }
    said = {
        BASE: "the base model of the expert that was used last, without any adapter",
        AUTO: "the expert that fits the prompt",
    }
    for name, description in said.items():
        yield {
            "id": name,
            "object": "model",
            "created": newest,
            "owned_by": "hivellm",
            "root": base_files[0] if name == BASE and base_files else None,
            "parent": None,
            "description": description,
            "capabilities": [],
        }
