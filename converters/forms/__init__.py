"""Forms of an adapter that llama.cpp can run: LoRA, low-rank, variant.

Private: may change in any release.
"""
