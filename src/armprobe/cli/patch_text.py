"""Instructions as `armprobe patch-check` takes them: hexadecimal, or a few lines of assembly language."""

from __future__ import annotations

import re
from collections.abc import Callable

from armprobe.errors import UsageError
from armprobe.isa.branch import branch_word
from armprobe.isa.branch_t32 import branch_t32
from armprobe.isa.insn import ALWAYS, CONDITIONS, REGISTER_NUMBERS
from armprobe.isa.instruction_set import InstructionSet

_HEX = re.compile(r"(0x)?[0-9a-f]+")
_NUMBER = re.compile(r"#?(0x[0-9a-f]+|[0-9]+)")
_COND = {name: number for number, name in enumerate(CONDITIONS[:ALWAYS])} | {"": ALWAYS, "al": ALWAYS}
_EXAMPLES = {
    InstructionSet.A32: "e92d4010, 'b 0x9000', 'bne 0x9000', bl, nop, bkpt, udf, svc, hvc, smc",
    InstructionSet.T32: "b510, 'f000 b802', 'b 0x8010', 'b.w 0x9000', bl, blx, 'bx lr', nop, nop.w, bkpt, udf, svc",
}


def parse(text: str, *, isa: InstructionSet, address: int) -> bytes:
    """Return the code of one instruction at `address`, in memory order.

    Hexadecimal is read as a disassembler shows it: a word of A32, one or two halfwords of T32. Raises UsageError for
    what is neither, Refused for a branch that does not reach.
    """
    lower = " ".join(text.lower().replace(",", " ").split())
    digits = lower.replace(" ", "")
    # `b` and `bl` are hexadecimal digits, too, but no whole instruction.
    if _HEX.fullmatch(digits) and len(digits.removeprefix("0x")) in (4, 8):
        return _from_hex(text, digits.removeprefix("0x"), isa)
    mnemonic, *operands = lower.split(" ")
    code = (_a32 if isa is InstructionSet.A32 else _t32)(mnemonic, operands, address)
    if code is None:
        raise UsageError(
            f"wanted one instruction of {isa.value}, in hexadecimal or one of a few in text, got {text!r}",
            hint=f"for example {_EXAMPLES[isa]}",
        )
    return code


def _from_hex(text: str, digits: str, isa: InstructionSet) -> bytes:
    if isa is InstructionSet.A32:
        if len(digits) != 8:
            raise UsageError(f"an A32 word has 8 hexadecimal digits, not {text!r}")
        return int(digits, 16).to_bytes(4, "little")
    return b"".join(int(digits[at : at + 4], 16).to_bytes(2, "little") for at in range(0, len(digits), 4))


def _split(mnemonic: str, names: tuple[str, ...]) -> tuple[str, int] | None:
    """A mnemonic without its condition, and the condition."""
    for name in names:
        if mnemonic.startswith(name) and mnemonic[len(name) :] in _COND:
            return name, _COND[mnemonic[len(name) :]]
    return None


def _number(operands: list[str], bits: int) -> int | None:
    """The one operand of a trap or a call, 0 if it has none; None if that is no number of so many bits."""
    if not operands:
        return 0
    match = _NUMBER.fullmatch(operands[0])
    value = int(match[1], 0) if match else -1
    return value if len(operands) == 1 and 0 <= value < 1 << bits else None


def _target(operands: list[str]) -> int | None:
    return _number(operands, 32) if operands else None


#: A32: bits of the immediate, and the word without it from the immediate
_A32_NUMBERED: dict[str, tuple[int, Callable[[int], int]]] = {
    "bkpt": (16, lambda n: 0x01200070 | n >> 4 << 8 | n & 15),
    "hvc": (16, lambda n: 0x01400070 | n >> 4 << 8 | n & 15),
    "udf": (16, lambda n: 0x07F000F0 | n >> 4 << 8 | n & 15),
    "smc": (4, lambda n: 0x01600070 | n),
    "svc": (24, lambda n: 0x0F000000 | n),
    "nop": (0, lambda _: 0x0320F000),
}


def _a32(mnemonic: str, operands: list[str], address: int) -> bytes | None:
    split = _split(mnemonic, ("bkpt", "bl", "b", "hvc", "nop", "smc", "svc", "udf"))
    if split is None:
        return None
    name, cond = split
    if name in ("b", "bl"):
        target = _target(operands)
        if target is None:
            return None
        return branch_word(address, target, cond=cond, link=name == "bl").to_bytes(4, "little")
    if cond != ALWAYS and name in ("bkpt", "hvc", "udf"):
        return None
    bits, encode = _A32_NUMBERED[name]
    number = _number(operands, bits)
    return None if number is None else (cond << 28 | encode(number)).to_bytes(4, "little")


#: T32, 16 bits: bits of the immediate, and the halfword without it
_T32_NUMBERED = {"bkpt": (8, 0xBE00), "udf": (8, 0xDE00), "svc": (8, 0xDF00), "nop": (0, 0xBF00)}


def _t32(mnemonic: str, operands: list[str], address: int) -> bytes | None:
    if mnemonic in ("bx", "blx") and len(operands) == 1 and operands[0] in REGISTER_NUMBERS:
        return ({"bx": 0x4700, "blx": 0x4780}[mnemonic] | REGISTER_NUMBERS[operands[0]] << 3).to_bytes(2, "little")
    if mnemonic == "nop.w" and not operands:
        return bytes.fromhex("aff30080")
    if mnemonic in _T32_NUMBERED:
        bits, base = _T32_NUMBERED[mnemonic]
        number = _number(operands, bits)
        return None if number is None else (base | number).to_bytes(2, "little")
    stem, _, width = mnemonic.partition(".")
    split = _split(stem, ("blx", "bl", "b"))
    target = _target(operands)
    if split is None or target is None or width not in ("", "n", "w") or (width and split[0] != "b"):
        return None
    name, cond = split
    if name != "b" and cond != ALWAYS:
        return None
    return branch_t32("b.w" if width == "w" else name, address, target, cond=cond)
