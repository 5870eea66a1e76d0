"""The server's own OpenAPI document, at ``/openapi.json``.

Private: may change in any release.
"""
