"""The methods of PEFT: how each turns its tensors into changes of a base's weights.

One file for each family. A function reads the tensors of one module and yields a `Change` for
each weight or bias that they change; `build` knows which function reads which tensors.

Private: may change in any release.
"""
