"""Text to tokens: added tokens, spaces in front, and how a text is split before merging.

Pure functions on text. The merging itself is llama.cpp's (`engine.model`).
"""
