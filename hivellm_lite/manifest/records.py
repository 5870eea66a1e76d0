"""What a manifest says, as frozen records; ``parsing.py`` reads it into them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "AdapterInfo",
    "BaseModel",
    "Constraints",
    "Decoding",
    "Integrity",
    "Manifest",
    "Routing",
    "SoftPrompt",
]


@dataclass(frozen=True)
class BaseModel:
    """The model that the expert was trained on. ``sha256`` is 64 lower-case digits."""

    name: str
    sha256: str | None = None
    quantization: str | None = None
    rope_scaling: object = None
    prompt_template: str | None = None

    @property
    def short_name(self) -> str:
        """Last component of ``name``, which may be a path on the author's machine."""
        return re.split(r"[/\\]", self.name.rstrip("/\\"))[-1]


@dataclass(frozen=True)
class AdapterInfo:
    """What the manifest says about the adapter. The adapter's own files take precedence."""

    type: str | None = None
    r: int | None = None
    alpha: float | None = None
    target_modules: tuple[str, ...] = ()
    path: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    scaling: str | None = None


@dataclass(frozen=True)
class SoftPrompt:
    """A learnt prompt: rows of embeddings in a file or folder of the package."""

    name: str | None
    path: str | None


@dataclass(frozen=True)
class Routing:
    """When to choose this expert; ``priority`` multiplies its keyword score."""

    keywords: tuple[str, ...] = ()
    exclude_keywords: tuple[str, ...] = ()
    router_hint: str | None = None
    priority: float = 1.0


@dataclass(frozen=True)
class Constraints:
    """Which experts may be loaded together. An entry of ``requires`` is ``name@>=1.0.0``."""

    max_chain: int | None = None
    load_order: int | None = None
    incompatible_with: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decoding:
    """Default decoding options. None: the manifest does not say."""

    use_grammar: bool = False
    grammar_type: str | None = None
    grammar_file: str | None = None
    validation: str | None = None
    stop_sequences: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True)
class Integrity:
    """The signature as the manifest gives it: parsed, not verified.

    ``files`` maps package paths to SHA-256 digests, 64 lower-case digits each.
    """

    created_at: str | None = None
    publisher: str | None = None
    pubkey: str | None = None
    signature_algorithm: str | None = None
    signature: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """A whole manifest. ``schema_version`` is ``"1.0"`` or ``"2.0"``.

    ``notes`` lists oddities that were tolerated; ``raw`` is the parsed JSON.
    """

    name: str
    version: str
    schema_version: str
    base: BaseModel
    raw: Mapping[str, object]
    description: str | None = None
    author: str | None = None
    license: str | None = None
    adapters: tuple[AdapterInfo, ...] = ()
    soft_prompts: tuple[SoftPrompt, ...] = ()
    capabilities: tuple[str, ...] = ()
    routing: Routing = Routing()
    constraints: Constraints = Constraints()
    decoding: Decoding = Decoding()
    integrity: Integrity | None = None
    notes: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """``expert-sql@0.3.0``, for messages."""
        return f"{self.name}@{self.version}"
