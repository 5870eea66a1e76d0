"""Names of the types that a base can be stored as. Importing these tables loads nothing else."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FILE_TYPES", "MIXES", "QUANTIZATIONS"]

FILE_TYPES: Mapping[str, str] = {
    "q8_0": "MOSTLY_Q8_0",
    "f16": "MOSTLY_F16",
    "bf16": "MOSTLY_BF16",
    "f32": "ALL_F32",
}
"""Files with one type for all matrices, as llama.cpp's converter writes them: name →
``LlamaFileType``."""

MIXES: Mapping[str, tuple[str, float]] = {
    "q6_k": ("MOSTLY_Q6_K", 6.57),
    "q5_k_m": ("MOSTLY_Q5_K_M", 5.7),
    "q5_k_s": ("MOSTLY_Q5_K_S", 5.57),
    "q5_1": ("MOSTLY_Q5_1", 6.0),
    "q5_0": ("MOSTLY_Q5_0", 5.57),
    "q4_k_m": ("MOSTLY_Q4_K_M", 4.89),
    "q4_k_s": ("MOSTLY_Q4_K_S", 4.67),
    "q4_1": ("MOSTLY_Q4_1", 5.1),
    "q4_0": ("MOSTLY_Q4_0", 4.66),
    "iq4_nl": ("MOSTLY_IQ4_NL", 4.68),
    "iq4_xs": ("MOSTLY_IQ4_XS", 4.46),
    "q3_k_l": ("MOSTLY_Q3_K_L", 4.3),
    "q3_k_m": ("MOSTLY_Q3_K_M", 4.0),
    "q3_k_s": ("MOSTLY_Q3_K_S", 3.64),
    "iq3_m": ("MOSTLY_IQ3_M", 3.76),
    "iq3_s": ("MOSTLY_IQ3_S", 3.66),
    "q2_k": ("MOSTLY_Q2_K", 3.16),
}
"""llama.cpp's mixes of types: name → (``LlamaFileType``, bits per weight in an 8B Llama).

A small model takes more bits per weight, because its embedding, which is stored more finely, is a
larger part of it.
"""

QUANTIZATIONS: tuple[str, ...] = (*FILE_TYPES, *MIXES)
"""What `convert_base` can write; the first is the default."""
