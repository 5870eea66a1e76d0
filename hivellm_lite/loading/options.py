"""How an expert is loaded: the keyword arguments of `Expert.load`, and what they make.

Each option is documented once, at its field. The groups say where an option is used: to find
the files, to convert the adapter, to compute, and to share the model with others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypedDict

from ..adapters.options import AdapterOptions
from ..bases.conversion import QUANTIZATIONS
from ..engine.options import ContextOptions, device_name
from ..inference.options import SessionOptions
from ..progress import Progress
from ..requests.argument_types import refuse_unknown
from ..signing.policy import signature_policy

__all__ = [
    "ConversionOptions",
    "DeviceOptions",
    "LoadOptions",
    "LoadSettings",
    "SharingOptions",
    "SourceOptions",
    "check_names",
]


class SourceOptions(TypedDict, total=False):
    """Where the files are."""

    base: str | os.PathLike[str] | None
    """The base model: a GGUF file or any part of one, a Hugging Face folder, or
    ``owner/repository`` on the Hub, optionally with ``@revision`` and ``:file.gguf``. Default:
    looked for by the name that the manifest gives."""
    quantization: str
    """What a base in safetensors is converted to, and which ready GGUF is taken: ``"q8_0"``,
    ``"q4_k_m"`` and others, listed in ``hivellm_lite.bases.QUANTIZATIONS``. Default: the first
    of that list."""
    pre_tokenizer: str | None
    """llama.cpp's name for how a converted base splits text, such as ``"qwen2"``, where its
    ``tokenizer.json`` is not recognised. A wrong one gives wrong tokens. Default: recognised."""
    float_weights: str | os.PathLike[str] | None
    """The base's Hugging Face folder, where ``base`` is a quantised GGUF: the adapter is measured
    and merged with its float weights. Default: looked for on this machine."""
    soft_prompt: str | None
    """The soft prompt of the manifest to use, by its name; ``"none"`` uses none. Default: the
    adapter if it is a soft prompt, or else the first that the manifest lists."""
    cache_dir: str | os.PathLike[str] | None
    """Folder for everything that is converted or unpacked. Default: ``HIVELLM_HOME``, or the
    user's cache folder."""
    verify: bool
    """Compare the package with the digest file beside it. Default: True."""
    signatures: str | None
    """``"check"``: refuse a signature that does not fit, and tell of a key that is not trusted.
    ``"require"``: accept only packages that a trusted key has signed. ``"ignore"``: look at no
    signature. Default: the variable ``HIVELLM_SIGNATURES``, or else ``"check"``."""
    offline: bool
    """Ask no network, as ``HF_HUB_OFFLINE=1`` does. Default: False."""
    progress: Progress | None
    """Called as ``progress(label, done, total)``, in bytes, while files are downloaded or
    converted. Default: none."""


class ConversionOptions(TypedDict, total=False):
    """Which form the adapter is converted to; see `AdapterOptions`."""

    adapter_mode: str
    """``"lora"``: the low-rank form of anything. ``"exact"``: the adapted tensors, merged.
    ``"auto"``: the smaller form that loses at most 2 % of the adapter's effect. Default:
    ``"auto"``."""
    extra_rank: int | None
    """Ranks of the low-rank form beyond the adapter's own, 0 to 1024. Default: as few as the
    bound of 2 % allows."""
    variant_type: str | None
    """What merged tensors are stored at: ``"q8_0"``, ``"bf16"``, ``"f16"`` or ``"f32"``. Default:
    for each tensor the smallest type that keeps its change."""
    force: bool
    """Allow a ``variant_type`` that destroys the adapter. Default: False."""


class DeviceOptions(TypedDict, total=False):
    """Where and in which precision answers are computed."""

    device: str | None
    """``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"metal"`` or ``"vulkan"``. ``"auto"`` is
    the device that the variable ``HIVELLM_DEVICE`` names, or else a GPU if there is one. Default:
    ``"auto"``."""
    n_ctx: int
    """Context in tokens: prompt and answer together, 1 to 2²⁴. Default: 2048."""
    n_threads: int | None
    """Threads that compute, 1 to 512. Default: the physical cores."""
    kv_type: str
    """Type of the KV cache: ``"f32"``, ``"f16"``, ``"bf16"`` or ``"q8_0"``. Default: ``"f16"``."""
    flash_attention: bool | None
    """Default: off on a CPU, where it makes decoding slower; llama.cpp's choice elsewhere."""


class SharingOptions(TypedDict, total=False):
    """How the model is shared by the requests and experts that use it."""

    max_streams: int
    """Answers that one context computes together at most, 1 to 64. Default: 16."""
    kv_positions: int | None
    """Tokens that all of these may have in the KV cache together. Default: 8,192 or four times
    ``n_ctx``, whichever is larger."""
    parked_bytes: int
    """Bytes of host memory for the prompts of idle experts; 0 keeps none. Default: 256 MiB."""
    own_context_bytes: int | None
    """Bytes of memory for contexts that experts asked often get for themselves, so that no
    adapters are swapped for them; 0 makes none. Default: none on a CPU, where a swap is cheap, and
    half of the device's free memory elsewhere."""
    own_context: bool
    """Share the model but not the context with other experts: no swap ever, for the memory of one
    more KV cache. Default: False."""


class LoadOptions(SourceOptions, ConversionOptions, DeviceOptions, SharingOptions, total=False):
    """The keyword arguments of `Expert.load`, `ExpertManager` and `ExpertManager.load_expert`."""


@dataclass(frozen=True)
class LoadSettings:
    """The options, checked and completed."""

    adapter: AdapterOptions
    session: SessionOptions
    base: str | os.PathLike[str] | None = None
    quantization: str = QUANTIZATIONS[0]
    pre_tokenizer: str | None = None
    float_weights: str | os.PathLike[str] | None = None
    cache_dir: str | os.PathLike[str] | None = None
    verify: bool = True
    signatures: str = "check"
    offline: bool = False
    progress: Progress | None = None
    soft_prompt: str | None = None
    device: str = "auto"

    @classmethod
    def of(cls, options: LoadOptions, *, caller: str) -> LoadSettings:
        """What ``options`` mean. ``caller`` is the function that got them, for errors.

        Raises TypeError for a name that is no option, ValueError for a value out of range.
        """
        check_names(options, caller=caller)
        context = ContextOptions(**_given(options, _names(ContextOptions)))
        session = SessionOptions(
            context,
            shared=not options.get("own_context", False),
            **_given(options, _SESSION),
        )
        adapter = AdapterOptions(
            options.get("adapter_mode", AdapterOptions.mode),
            **_given(options, ("extra_rank", "variant_type", "force")),
        )
        return cls(
            adapter,
            session,
            device=device_name(options.get("device") or "auto"),
            **{
                **_given(options, SourceOptions.__annotations__),
                "signatures": signature_policy(options.get("signatures")),
            },
        )


_SESSION = ("max_streams", "kv_positions", "parked_bytes", "own_context_bytes")
"""The options that `SessionOptions` has, too."""


def check_names(options: Mapping[str, object], *, caller: str) -> None:
    """Raises TypeError for a name that is no option of `LoadOptions`."""
    refuse_unknown(options, LoadOptions.__annotations__, caller=caller)


def _names(kind: type) -> list[str]:
    return [field.name for field in fields(kind)]


def _given(options: Mapping[str, object], names: Iterable[str]) -> dict[str, Any]:
    return {name: options[name] for name in names if name in options}
