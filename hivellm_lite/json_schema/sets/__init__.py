"""Schemas as sets of values: what belongs to them, and what two of them have in common.

Private: may change in any release.
"""
