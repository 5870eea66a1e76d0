"""Experts as models of other libraries, in this process and without a server.

Each folder is one library's and needs an extra: ``haystack``, ``langchain``, ``llama-index`` or
``llm``. `conversations` reads messages and tools as the server does.

Private: may change in any release. Public are the names on the page ``docs/integrations.md``, whose
signatures follow those libraries.
"""
