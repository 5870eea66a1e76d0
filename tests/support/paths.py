"""Where the files that tests read are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The project's folder."""

FIXTURES = ROOT / "tests" / "fixtures"
"""Tiny models and adapters with the logits that Transformers and PEFT computed."""

MODELS = FIXTURES / "models"
ADAPTERS = FIXTURES / "adapters"

EXPERTS = ROOT / "examples" / "experts"
"""The trained example experts."""

REAL_BASE = ROOT / ".demo" / "SmolLM2-135M-Instruct.Q4_1.gguf"
"""``make test`` fetches it."""
