"""Making and publishing packages: what an author does before others use an expert.

Private: may change in any release.
"""
