"""The model architectures that can be converted, in one small file each.

To add an architecture, write its table, list it here, and add a tiny model to the fixtures.

Private: may change in any release.
"""

from __future__ import annotations

from ...errors import ConversionError
from .architecture import Architecture, HyperParameters, Sizes, TensorName
from .config_fields import ConfigFields
from .ernie4_5 import ERNIE4_5
from .exaone4 import EXAONE4
from .falcon_h1 import FALCON_H1
from .gemma import GEMMA, GEMMA2, GEMMA3
from .gemma3n import GEMMA3N
from .gemma4 import GEMMA4
from .granite import GRANITE, GRANITE_HYBRID
from .hunyuan_dense import HUNYUAN_DENSE
from .lfm2 import LFM2
from .llama import LLAMA
from .mistral3 import MISTRAL3
from .olmo2 import OLMO2
from .phi3 import PHI3
from .qwen2 import QWEN2
from .qwen3 import QWEN3
from .qwen3_5 import QWEN3_5
from .qwen3_moe import QWEN3_MOE
from .ready import READY, ready_architecture
from .smollm3 import SMOLLM3

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "HyperParameters",
    "Sizes",
    "TensorName",
    "architecture_of_gguf",
    "architecture_of_hf",
]

ARCHITECTURES: tuple[Architecture, ...] = (
    LLAMA,
    QWEN2,
    QWEN3,
    GEMMA,
    GEMMA2,
    GEMMA3,
    PHI3,
    QWEN3_5,
    QWEN3_MOE,
    GRANITE,
    GRANITE_HYBRID,
    SMOLLM3,
    OLMO2,
    MISTRAL3,
    EXAONE4,
    HUNYUAN_DENSE,
    ERNIE4_5,
    LFM2,
    GEMMA4,
    FALCON_H1,
    GEMMA3N,
)


_REASONS = {
    "GptOssForCausalLM": "llama.cpp rounds the bounds of its YaRN, Transformers does not",
    "PaliGemmaForConditionalGeneration": "its prompts attend in both directions",
}
"""Why classes that llama.cpp knows are not converted, if not for want of a table."""

_MULTIMODAL = "ForConditionalGeneration"
"""The end of the names of classes that wrap a text model."""


def architecture_of_gguf(name: str) -> Architecture:
    """The architecture that GGUF's ``general.architecture`` names.

    Raises ConversionError, which lists the known names, for any other.
    """
    for architecture in ARCHITECTURES:
        if architecture.name == name:
            return architecture
    if name in READY:
        return ready_architecture(name)
    known = sorted({architecture.name for architecture in ARCHITECTURES} | READY)
    raise ConversionError(
        f"adapters on the architecture {name!r:.80} are not supported: in which order it has the "
        f"rows of its tensors is not known\nSupported are {', '.join(known)}."
    )


def architecture_of_hf(name: str, fields: ConfigFields) -> Architecture:
    """The architecture of a config ``fields`` whose ``architectures[0]`` is ``name``.

    Of a multimodal model it is the text model's.

    Raises ConversionError, which lists the known names, for an unknown class.
    """
    kind = fields.inner("text_config").get("model_type")
    text_type = kind if isinstance(kind, str) and name.endswith(_MULTIMODAL) else ""
    for architecture in ARCHITECTURES:
        known_class = name in architecture.hf_names and architecture.accepts(fields.of_text())
        if known_class or text_type in architecture.text_types:
            return architecture
    known = sorted({hf for architecture in ARCHITECTURES for hf in architecture.hf_names})
    reason = f": {_REASONS[name]}" if name in _REASONS else ""
    raise ConversionError(
        f"{fields.path}: the model's class {name!r:.80} is not supported{reason}\n"
        f"Supported are {', '.join(known)}.\n"
        "llama.cpp runs more architectures than that: a ready GGUF file of the model can be the "
        "base, for adapters of its attention and feed-forward part, too."
    )
