"""A32 words as text, by Capstone where it is installed. For people only: no decision depends on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

Disassemble = Callable[[int, int], str | None]


@cache
def _disassembler() -> Disassemble | None:
    try:
        import capstone
    except ImportError:
        return None
    # The mode V8 knows what came with ARMv8; the other knows what ARMv8 took away.
    engines = [
        capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM + capstone.CS_MODE_V8),
        capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM),
    ]

    def disassemble(word: int, address: int) -> str | None:
        for engine in engines:
            for _, _, mnemonic, operands in engine.disasm_lite(word.to_bytes(4, "little"), address, 1):
                return f"{mnemonic} {operands}".strip()
        return None

    return disassemble


def disassemble(word: int, address: int) -> str | None:
    """Return the text of the instruction `word` at `address`; None without Capstone, or if Capstone knows no text."""
    engine = _disassembler()
    return engine(word, address) if engine else None
