"""Applies an adapter to a base: its targets, the base's weights, and the forms that llama.cpp runs.

The forms are LoRA, low-rank and variant.

Private: may change in any release.
"""
