"""A server that speaks OpenAI's API for experts on one base model.

Needs the extra ``server``: ``pip install 'hivellm-lite[server]'``.

Private: may change in any release.
"""
