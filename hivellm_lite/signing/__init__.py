"""Signatures of packages: keys, messages, verification, and which keys are trusted.

Private: may change in any release.
"""
