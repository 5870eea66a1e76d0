"""Chat templates of packages and base models: Jinja, run as an untrusted program.

- `template`: what the rest of the library uses
- `environment`: Jinja with a guard before every operation
- `methods`, `filters`, `operators`: what templates may use
- `values`: what templates see of a request
- `marked_text`: which characters belong to a user
- `budget`: how much work a rendering may do

Private: may change in any release.
"""

from __future__ import annotations

from .template import ChatTemplate, ChatTemplateError, Rendered, TemplateRefusal

__all__ = ["ChatTemplate", "ChatTemplateError", "Rendered", "TemplateRefusal"]
