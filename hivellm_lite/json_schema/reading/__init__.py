"""Reads JSON schemas into shapes: references, keywords, combinations of schemas.

Private: may change in any release.
"""
