"""Experts as models of other libraries, in this process and without a server.

Each module or folder here is one library's, and needs an extra of the same name: ``langchain``,
``llama_index``, ``llm_plugin`` (the extra ``llm``) and ``haystack``. Their public names are in
``__all__`` and on the page ``docs/integrations.md``; signatures follow those libraries.
"""

from __future__ import annotations

__all__: list[str] = []
