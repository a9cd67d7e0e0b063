"""What independent decoders say about instruction words: GNU objdump, LLVM (llvm-mc) and Capstone.

Each opinion is an array of one byte a word: VALID, UNPREDICTABLE, or UNDEFINED, which here means "no instruction".
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import NamedTuple

from armprobe.isa.insn import REGISTER_NUMBERS
from armprobe.isa.instruction_set import InstructionSet, to_bytes

VALID, UNPREDICTABLE, UNDEFINED = range(3)
VERDICTS = ("valid", "unpredictable", "undefined")

_OBJDUMP = "arm-none-eabi-objdump"
_LLVM = "llvm-mc"
_LLVM_NEWEST = "v8.6a -mattr=+neon,+fp-armv8,+fullfp16,+fp16fml,+bf16,+i8mm,+dotprod,+aes,+sha2,+crc,+sb,+ras"
_LLVM_V7 = "v7a -mattr=+neon,+vfp4,+mp,+hwdiv-arm,+virtualization,+trustzone"
#: by instruction set: a target, and another for what it calls worse than the verdict. What v8 took away of A32 (SWP,
#: coprocessors 0 to 13) is v7's; in T32, v7's rules about SP hold for all that v7 has.
_LLVM_TARGETS = {
    InstructionSet.A32: (f"-triple=arm{_LLVM_NEWEST}", f"-triple=arm{_LLVM_V7}", VALID),
    InstructionSet.T32: (f"-triple=thumb{_LLVM_V7}", f"-triple=thumb{_LLVM_NEWEST}", UNPREDICTABLE),
}
_REGISTER = re.compile(r"\b(?:r1[0-5]|r[0-9]|sl|fp|ip|sp|lr|pc)\b")
_BATCH = 4096
#: from one T32 instruction to the next: an IT block has at most four more
_T32_STRIDE = 12
_NOP = b"\x00\xbf"
_CAPSTONE_NAMES = REGISTER_NUMBERS | {"sb": 9}


def missing() -> list[str]:
    """The programs and libraries of this module that are not installed."""
    try:
        import capstone  # noqa: F401
    except ImportError:
        absent = ["capstone"]
    else:
        absent = []
    return absent + [name for name in (_OBJDUMP, _LLVM) if shutil.which(name) is None]


def objdump(words: Sequence[int], instruction_set: InstructionSet = InstructionSet.A32) -> Iterator[str]:
    """Yield what GNU objdump prints for each word: mnemonic, tab, operands."""
    thumb = instruction_set is InstructionSet.T32
    stride = _T32_STRIDE if thumb else 4
    with TemporaryDirectory() as folder:
        path = Path(folder, "words.bin")
        path.write_bytes(_apart(words, stride) if thumb else struct.pack(f"<{len(words)}I", *words))
        options = ["-M", "force-thumb"] if thumb else []
        command = [_OBJDUMP, "-D", "-z", "-b", "binary", "-m", "arm", *options, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
            assert process.stdout is not None
            for line in process.stdout:
                address, _, rest = line.partition(":\t")
                if rest and int(address, 16) % stride == 0:  # address, word, text
                    yield rest.partition("\t")[2]


def _apart(words: Sequence[int], stride: int) -> bytes:
    """T32 instructions, each `stride` bytes after the one before: what follows it is no instruction of an IT block."""
    filling = _NOP * (stride // 2)
    codes = (to_bytes(word, InstructionSet.T32) for word in words)
    return b"".join(code + filling[len(code) :] for code in codes)


def objdump_verdict(text: str) -> int:
    """The verdict in a line of objdump."""
    # "<illegal ...>" stands where an operand can't be encoded
    if "<undefined>" in text.lower() or "<illegal" in text:
        return UNDEFINED
    return UNPREDICTABLE if "UNPREDICTABLE" in text else VALID


def printed_registers(text: str) -> int:
    """The core registers among the operands in a line of objdump (bit n: register n)."""
    operands = text.partition("\t")[2].partition("@")[0]
    mask = 0
    for name in _REGISTER.findall(operands):
        mask |= 1 << REGISTER_NUMBERS[name]
    return mask


def llvm(words: Sequence[int], instruction_set: InstructionSet = InstructionSet.A32, *, it: int = 0) -> bytearray:
    """Return LLVM's verdicts: of each word, executed with the ITSTATE `it`, the kindest among the targets tried."""
    first, second, enough = _LLVM_TARGETS[instruction_set]
    verdicts = _llvm([to_bytes(word, instruction_set) for word in words], first, it)
    again = [n for n, verdict in enumerate(verdicts) if verdict > enough]
    codes = [to_bytes(words[n], instruction_set) for n in again]
    for n, verdict in zip(again, _llvm(codes, second, it), strict=True):
        verdicts[n] = min(verdicts[n], verdict)
    return verdicts


def _llvm(codes: Sequence[bytes], target: str, it: int) -> bytearray:
    """One verdict each. In brackets, one that does not decode leaves the next alone; nops end the block of an IT."""
    before = bytes((it, 0xBF)) if it else b""
    lines = (_bracketed(before + code + _NOP * 4 if it or code[1:] == b"\xbf" else code) for code in codes)
    column = b"%d" % (2 + 5 * len(before))
    with TemporaryFile() as asked, TemporaryFile() as said:  # files: llvm-mc writes its warnings in tiny pieces
        asked.writelines(lines)
        asked.seek(0)
        command = [_LLVM, "--disassemble", *target.split()]
        subprocess.run(command, stdin=asked, stdout=subprocess.DEVNULL, stderr=said, check=False)  # noqa: S603
        said.seek(0)
        warnings = said.read()
    if b"error: " in warnings:  # the exit status is 1 as well if one does not decode
        raise RuntimeError(warnings.decode())
    verdicts = bytearray(len(codes))
    found = rb"^<stdin>:(\d+):" + column + rb": warning: (invalid|potentially)"
    for line, kind in re.findall(found, warnings, re.MULTILINE):
        verdicts[int(line) - 1] = UNDEFINED if kind == b"invalid" else UNPREDICTABLE
    return verdicts


def _bracketed(code: bytes) -> bytes:
    return b"[" + b" ".join(b"0x%02x" % byte for byte in code) + b"]\n"


class Access(NamedTuple):
    """Capstone's opinion about one word: whether it decodes, and the core registers it reads and writes (masks)."""

    verdict: int
    reads: int
    writes: int


def capstone(words: Sequence[int], instruction_set: InstructionSet = InstructionSet.A32) -> Iterator[Access]:
    """Yield Capstone's opinion about each word: as ARMv8, or as ARMv7 where that fails."""
    from capstone import CS_ARCH_ARM, CS_MODE_ARM, CS_MODE_THUMB, CS_MODE_V8, Cs

    thumb = instruction_set is InstructionSet.T32
    mode = CS_MODE_THUMB if thumb else CS_MODE_ARM
    newer, older = Cs(CS_ARCH_ARM, mode + CS_MODE_V8), Cs(CS_ARCH_ARM, mode)
    for decoder in (newer, older):
        decoder.detail = True
    newer.skipdata = True
    bit = [0] * 256
    for number in range(1, 256):
        name = newer.reg_name(number)
        bit[number] = 1 << _CAPSTONE_NAMES[name] if name in _CAPSTONE_NAMES else 0
    for start in range(0, len(words), _BATCH):
        batch = words[start : start + _BATCH]
        stride = _T32_STRIDE if thumb else 4
        code = _apart(batch, stride) if thumb else struct.pack(f"<{len(batch)}I", *batch)
        decoded = (insn for insn in newer.disasm(code, 0) if insn.address % stride == 0)
        for word, found in zip(batch, decoded, strict=True):
            size = len(to_bytes(word, instruction_set))
            insn = found if found.id else next(older.disasm(to_bytes(word, instruction_set), 0), None)
            if insn is None or insn.size != size:
                yield Access(UNDEFINED, 0, 0)
                continue
            reads, writes = insn.regs_access()
            yield Access(VALID, _mask(reads, bit), _mask(writes, bit))


def _mask(numbers: Sequence[int], bit: Sequence[int]) -> int:
    mask = 0
    for number in numbers:
        mask |= bit[number]
    return mask
