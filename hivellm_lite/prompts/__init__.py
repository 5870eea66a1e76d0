"""Writes a conversation in the form that a model was trained on, with control tokens kept apart.

Private: may change in any release.
"""
