"""What the T32 tables share: conditions that the manual repeats in most encodings."""

from __future__ import annotations

#: what writes PC has to be the last of its IT block
LAST = "in_it and not last_in_it"
OUTSIDE = "in_it"


def bad(registers: str) -> str:
    """Conditions that say: each of these fields is SP or PC (the manual's `d IN {13,15}` and the like)."""
    return "; ".join(f"{name} in (13, 15)" for name in registers.split())
