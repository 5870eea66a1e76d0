"""Computing answers: one model and its contexts, one thread, many requests.

Private: may change in any release.
"""
