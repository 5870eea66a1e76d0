"""Vocabularies: ``tokenizer.json`` and SentencePiece models as GGUF writes them.

Private: may change in any release.
"""
