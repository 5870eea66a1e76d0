"""PEFT adapters: configuration, methods, and the change each makes to a weight.

Private: may change in any release.
"""
