"""``POST /v1/responses``: OpenAI's newer form of asking, without a memory of earlier responses.

Private: may change in any release.
"""
