"""Instruction words as text, by Capstone where it is installed. For people only: no decision depends on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from armprobe.isa import itstate
from armprobe.isa.instruction_set import InstructionSet, to_bytes

Disassemble = Callable[[bytes, int, int], str | None]


@cache
def _disassembler(instruction_set: InstructionSet) -> Disassemble | None:
    try:
        import capstone
    except ImportError:
        return None
    mode = capstone.CS_MODE_ARM if instruction_set is InstructionSet.A32 else capstone.CS_MODE_THUMB
    # The mode V8 knows what came with ARMv8; the other knows what ARMv8 took away.
    engines = [
        capstone.Cs(capstone.CS_ARCH_ARM, mode + capstone.CS_MODE_V8),
        capstone.Cs(capstone.CS_ARCH_ARM, mode),
    ]

    def disassemble(code: bytes, address: int, before: int) -> str | None:
        for engine in engines:
            for place, _, mnemonic, operands in engine.disasm_lite(code, address - before):
                if place == address:
                    return f"{mnemonic} {operands}".strip()
        return None

    return disassemble


def disassemble(
    word: int, address: int, instruction_set: InstructionSet = InstructionSet.A32, *, it: int = 0
) -> str | None:
    """Return the text of the instruction `word` at `address`, executed with the ITSTATE `it`.

    None without Capstone, or if Capstone knows no text.
    """
    engine = _disassembler(instruction_set)
    if engine is None:
        return None
    # Capstone learns of an IT block from its IT: one with this instruction alone.
    block = (0xBF08 | itstate.condition(it) << 4).to_bytes(2, "little") if itstate.in_block(it) else b""
    return engine(block + to_bytes(word, instruction_set), address, len(block))
