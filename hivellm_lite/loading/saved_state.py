"""The KV cache of an expert's last prompt, written to a file and taken from one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import InferenceError
from ..inference.kv_files import read_kv_file, write_kv_file
from .loaded_expert import LoadedExpert

__all__ = ["load_state", "save_state", "state_identity"]


def save_state(expert: LoadedExpert, path: str | os.PathLike[str]) -> int:
    """See `Expert.save_state`."""
    session = expert.session
    effect = expert.effect()
    held = session.scheduler.latest(effect.applied, effect.prefix)
    if held is None:
        raise InferenceError(f"nothing of {expert.manifest.identity} is in the KV cache")
    tokens, state = held
    own = tokens[len(effect.prefix) :]
    write_kv_file(Path(path), state_identity(expert), own, state.data.tobytes())
    return len(tokens)


def load_state(expert: LoadedExpert, path: str | os.PathLike[str]) -> int:
    """See `Expert.load_state`."""
    from ..engine import KVState  # loads llama.cpp

    session = expert.session
    effect = expert.effect()
    limit = session.options.parked_bytes
    own, data = read_kv_file(Path(path), state_identity(expert), limit)
    tokens = [*effect.prefix, *own]
    state = KVState.from_data(data)
    session.scheduler.adopt(effect.applied, tokens, state)
    return len(tokens)


def state_identity(expert: LoadedExpert) -> dict[str, Any]:
    """What must be equal for a file to be of use."""
    from ..engine import library_version  # loads llama.cpp

    session = expert.session
    options = session.scheduler.context_options
    identity = {
        "library": library_version(),
        "model": [expert.cache.fingerprint(path) for path in expert.prepared.files],
        "expert": expert.manifest.identity,
        "package": expert.package.digest,
        "adapter": expert.prepared.entry.key if expert.prepared.lora else None,
        "soft_prompt": expert.soft_prompt.digest if expert.soft_prompt else None,
        "kv_type": options.kv_type,
        "flash_attention": options.flash_attention,
    }
    if (above := session.model.long_rope_above) is not None:
        identity["long_rope"] = session.n_ctx > above
    return identity
