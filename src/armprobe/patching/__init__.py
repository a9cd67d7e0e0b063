"""Bytes we change: what may replace what, plans and their execution, memory for slots."""
