"""Many experts on one base: which are in memory, who answers, what happened so far.

Private: may change in any release.
"""
