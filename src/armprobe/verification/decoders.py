"""What independent decoders say about A32 words: GNU objdump, LLVM (llvm-mc) and Capstone.

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

VALID, UNPREDICTABLE, UNDEFINED = range(3)
VERDICTS = ("valid", "unpredictable", "undefined")

_OBJDUMP = "arm-none-eabi-objdump"
_LLVM = "llvm-mc"
#: the newest architecture the decoder knows, and v7-A for what v8 took away (SWP, coprocessors 0 to 13)
_LLVM_TARGETS = (
    "-triple=armv8.6a -mattr=+neon,+fp-armv8,+fullfp16,+fp16fml,+bf16,+i8mm,+dotprod,+aes,+sha2,+crc,+sb,+ras",
    "-triple=armv7a -mattr=+neon,+vfp4,+mp,+hwdiv-arm,+virtualization,+trustzone",
)
_REGISTER = re.compile(r"\b(?:r1[0-5]|r[0-9]|sl|fp|ip|sp|lr|pc)\b")
_BATCH = 4096
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


def objdump(words: Sequence[int]) -> Iterator[str]:
    """Yield what GNU objdump prints for each word: mnemonic, tab, operands."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "words.bin")
        path.write_bytes(struct.pack(f"<{len(words)}I", *words))
        command = [_OBJDUMP, "-D", "-z", "-b", "binary", "-m", "arm", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
            assert process.stdout is not None
            for line in process.stdout:
                if line.count("\t") >= 2:  # address, word, text
                    yield line.split("\t", 2)[2]


def objdump_verdict(text: str) -> int:
    """The verdict in a line of objdump."""
    # "<illegal ...>" stands where an operand can't be encoded
    if "<UNDEFINED>" in text or "<illegal" in text:
        return UNDEFINED
    return UNPREDICTABLE if "UNPREDICTABLE" in text else VALID


def printed_registers(text: str) -> int:
    """The core registers among the operands in a line of objdump (bit n: register n)."""
    operands = text.partition("\t")[2].partition("@")[0]
    mask = 0
    for name in _REGISTER.findall(operands):
        mask |= 1 << REGISTER_NUMBERS[name]
    return mask


def llvm(words: Sequence[int]) -> bytearray:
    """Return LLVM's verdicts: of each word the kindest among the targets tried."""
    verdicts = _llvm(words, _LLVM_TARGETS[0])
    again = [n for n, verdict in enumerate(verdicts) if verdict]
    for n, verdict in zip(again, _llvm([words[n] for n in again], _LLVM_TARGETS[1]), strict=True):
        verdicts[n] = min(verdicts[n], verdict)
    return verdicts


def _llvm(words: Sequence[int], target: str) -> bytearray:
    lines = (b"0x%02x 0x%02x 0x%02x 0x%02x\n" % tuple(word.to_bytes(4, "little")) for word in words)
    with TemporaryFile() as asked, TemporaryFile() as said:  # files: llvm-mc writes its warnings in tiny pieces
        asked.writelines(lines)
        asked.seek(0)
        command = [_LLVM, "--disassemble", *target.split()]
        subprocess.run(command, stdin=asked, stdout=subprocess.DEVNULL, stderr=said, check=True)  # noqa: S603
        said.seek(0)
        warnings = said.read()
    verdicts = bytearray(len(words))
    for line, kind in re.findall(rb"^<stdin>:(\d+):1: warning: (invalid|potentially)", warnings, re.MULTILINE):
        verdicts[int(line) - 1] = UNDEFINED if kind == b"invalid" else UNPREDICTABLE
    return verdicts


class Access(NamedTuple):
    """Capstone's opinion about one word: whether it decodes, and the core registers it reads and writes (masks)."""

    verdict: int
    reads: int
    writes: int


def capstone(words: Sequence[int]) -> Iterator[Access]:
    """Yield Capstone's opinion about each word: as ARMv8, or as ARMv7 where that fails."""
    from capstone import CS_ARCH_ARM, CS_MODE_ARM, CS_MODE_V8, Cs

    newer, older = Cs(CS_ARCH_ARM, CS_MODE_ARM + CS_MODE_V8), Cs(CS_ARCH_ARM, CS_MODE_ARM)
    for decoder in (newer, older):
        decoder.detail = True
    newer.skipdata = True
    bit = [0] * 256
    for number in range(1, 256):
        name = newer.reg_name(number)
        bit[number] = 1 << _CAPSTONE_NAMES[name] if name in _CAPSTONE_NAMES else 0
    for start in range(0, len(words), _BATCH):
        batch = words[start : start + _BATCH]
        for word, found in zip(batch, newer.disasm(struct.pack(f"<{len(batch)}I", *batch), 0), strict=True):
            insn = found if found.id else next(older.disasm(word.to_bytes(4, "little"), 0), None)
            if insn is None:
                yield Access(UNDEFINED, 0, 0)
                continue
            reads, writes = insn.regs_access()
            yield Access(VALID, _mask(reads, bit), _mask(writes, bit))


def _mask(numbers: Sequence[int], bit: Sequence[int]) -> int:
    mask = 0
    for number in numbers:
        mask |= bit[number]
    return mask
