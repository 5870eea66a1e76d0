"""Files of prompts: what answers a line, and which worker of several does it when.

Private: may change in any release.
"""
