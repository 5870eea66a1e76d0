"""The process around us: forks, its end, its limits of memory.

Private: may change in any release.
"""
