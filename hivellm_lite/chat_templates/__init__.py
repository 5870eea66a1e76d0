"""Chat templates as base models bring them: Jinja, run as the program of a stranger.

- `template`: what the rest of the library uses
- `environment`: Jinja with a guard before every operation
- `methods`, `filters`: what templates may call
- `marked_text`: which characters are a user's
- `budget`: how much a rendering may do
"""

from __future__ import annotations

from .template import ChatTemplate, ChatTemplateError, Rendered, TemplateRefusal

__all__ = ["ChatTemplate", "ChatTemplateError", "Rendered", "TemplateRefusal"]
