"""GGUF files: headers, arrays, parts, and a check before llama.cpp reads them.

Private: may change in any release.
"""
