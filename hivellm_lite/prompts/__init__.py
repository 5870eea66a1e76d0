"""From a conversation to the text that a model was trained on, control tokens kept apart.

Private: may change in any release.
"""
