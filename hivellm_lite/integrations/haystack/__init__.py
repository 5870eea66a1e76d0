"""An expert as a chat generator of Haystack.

::

    from haystack.dataclasses import ChatMessage
    from hivellm_lite.integrations.haystack import HiveLLMChatGenerator

    generator = HiveLLMChatGenerator("sql.expert")
    print(generator.run([ChatMessage.from_user("How many users are there?")])["replies"][0].text)

Needs the extra ``haystack``: ``pip install 'hivellm-lite[haystack]'``.

Private: may change in any release. Public is the class, as Haystack's components are.
"""

from __future__ import annotations

from ..missing import missing

try:
    from .generator import HiveLLMChatGenerator
except ModuleNotFoundError as error:
    raise missing(error, "haystack") from None

__all__ = ["HiveLLMChatGenerator"]
