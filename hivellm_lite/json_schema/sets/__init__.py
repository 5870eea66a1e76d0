"""Treats shapes as sets of values: membership, intersection, difference, disjointness.

Private: may change in any release.
"""
