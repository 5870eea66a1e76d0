"""Writes the rules of arrays and objects.

Private: may change in any release.
"""
