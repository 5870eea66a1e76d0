"""Loading an expert: options, the parts that are found and converted, the expert in memory.

Private: may change in any release.
"""
