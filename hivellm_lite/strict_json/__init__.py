"""JSON as packages carry it: read with positions, within a budget, field by field.

Private: may change in any release.
"""
