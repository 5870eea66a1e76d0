"""Synthetic data, judging and training of the three example experts."""
