"""Experts as models of LangChain: `ChatHiveLLM` for messages and tools, `HiveLLM` for texts.

::

    from hivellm_lite.integrations.langchain import ChatHiveLLM

    chat = ChatHiveLLM(model="sql.expert", max_tokens=100)
    print(chat.invoke("How many users are there?").content)

Needs the extra ``langchain``: ``pip install 'hivellm-lite[langchain]'``.

Private: may change in any release. Public are the two classes, as LangChain's base classes define
them, and their fields.
"""

from __future__ import annotations

from ..missing import missing

try:
    from .chat import ChatHiveLLM
    from .texts import HiveLLM
except ModuleNotFoundError as error:
    raise missing(error, "langchain") from None

__all__ = ["ChatHiveLLM", "HiveLLM"]
