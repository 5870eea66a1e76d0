"""An expert as a ``CustomLLM`` of LlamaIndex: chats, texts and structured answers.

::

    from hivellm_lite.integrations.llama_index import HiveLLM

    llm = HiveLLM(model="sql.expert", max_tokens=100)
    print(llm.complete("How many users are there?"))

Needs the extra ``llama-index``: ``pip install 'hivellm-lite[llama-index]'``.

Private: may change in any release. Public is the class, as LlamaIndex's base class defines it, and
its fields.
"""

from __future__ import annotations

from ..missing import missing

try:
    from .model import HiveLLM
except ModuleNotFoundError as error:
    raise missing(error, "llama-index") from None

__all__ = ["HiveLLM"]
