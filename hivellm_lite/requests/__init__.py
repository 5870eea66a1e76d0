"""What a caller asks, checked and completed: prompt, defaults, limits, grammar.

Private: may change in any release.
"""
