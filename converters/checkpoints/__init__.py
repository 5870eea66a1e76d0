"""The weights of a Hugging Face folder, whatever tool saved them.

Private: may change in any release. `open_checkpoint`, `Checkpoint` and `TensorReader` are public
as names of `hivellm_lite.converters`.
"""
