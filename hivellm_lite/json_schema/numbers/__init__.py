"""Numbers of JSON: rules for the decimals between bounds, and automata for multiples of a step.

Private: may change in any release.
"""
