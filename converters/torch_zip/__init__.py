"""Files of ``torch.save``: their tensors, read without executing anything.

Private: may change in any release.
"""
