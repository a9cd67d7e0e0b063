"""Proof by execution and comparison: what the tables say and what relocation makes, against independent engines."""
