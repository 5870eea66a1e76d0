"""Quantised checkpoints as floats: one file for each format.

A format is read where its numbers follow from the stored ones by plain arithmetic. Others are
refused by name.

Private: may change in any release.
"""
