"""The embedded system on one machine: stores, processes, and the supervisor that keeps them.

Read :mod:`leaky_tokens.local.launch` first; it is the whole start from top to bottom.
"""
