"""An explicit-state checker for patch protocols: every interleaving of one who patches with cores that run.

It tells whether a way to replace live instructions is safe, and shows the interleaving in which it is not. What it
assumes of caches and fetch is in `model`; docs/patch-safety.md says it in prose.
"""
