"""Text to tokens: added tokens, leading spaces, and splitting a text before merging.

Pure functions on text. llama.cpp does the merging itself (`engine.model`).

Private: may change in any release.
"""
