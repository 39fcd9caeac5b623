"""Guests run here: worker processes without rights, a compiler process, and the cache of modules they are fed from.

``pool``, ``compile_queue`` and ``cache`` belong to the agent's process; ``worker`` and ``compiler`` are the programs of
the children. What comes from a child is hostile: it is parsed within fixed bounds and judged by the parent.
"""
