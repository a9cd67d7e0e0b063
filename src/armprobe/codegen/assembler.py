"""An assembler for the code we make: one method is one instruction, `emit_*` methods are sequences.

Every word is encoded by the row of `armprobe.isa.a32` that decodes it, so that what we make is what we understand.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from armprobe.errors import InternalError, Refused
from armprobe.isa.branch import far_jump, reaches
from armprobe.isa.decoder import table
from armprobe.isa.insn import ALWAYS, CONDITIONS, REGISTER_NAMES
from armprobe.isa.rows import Row
from armprobe.isa.steps import CompareJump, Constant, InBlock, Jump, Step, Word

SP, LR, PC = 13, 14, 15
_WORD = 0xFFFFFFFF


def encode_immediate(value: int) -> int | None:
    """The 12-bit modified immediate (rotation and byte) of `value`, None if there is none (DDI 0406C A5.2.4)."""
    for rotation in range(16):
        byte = (value << 2 * rotation | value >> 32 - 2 * rotation) & _WORD
        if byte < 256:
            return rotation << 8 | byte
    return None


def mask_of(registers: Iterable[int]) -> int:
    """The register list with bit n set for register n."""
    return sum({1 << register for register in registers})


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """A place in the code, bound now or later; the name is for listings."""

    name: str


@dataclass(frozen=True, slots=True)
class Line:
    """One item of a listing: `size` bytes at `offset`. `data` says that they are not code."""

    offset: int
    size: int
    comment: str
    data: bool = False


@dataclass(frozen=True, slots=True)
class Code:
    """Assembled code for `base`, with its literals at the end, and its listing."""

    base: int
    data: bytes
    lines: tuple[Line, ...]

    @property
    def words(self) -> tuple[int, ...]:
        return tuple(int.from_bytes(self.data[at : at + 4], "little") for at in range(0, len(self.data), 4))


class Assembler:
    """Builds code that will stand at `base`. Registers are numbers; conditions are 0 to 14.

    A value that an instruction cannot hold raises InternalError: callers ask `encode_immediate` or `reaches` first.
    """

    def __init__(self, base: int, *, architecture: int = 7) -> None:
        if base % 4:
            raise InternalError(f"A32 code starts at a multiple of 4, not at 0x{base:08x}")
        self.base = base
        self.architecture = architecture
        self._words: list[int] = []
        self._lines: list[Line] = []
        self._labels: dict[Label, int] = {}
        self._branches: list[tuple[int, Label]] = []
        self._literals: dict[int, list[int]] = {}
        self._far: dict[int, Label] = {}

    @property
    def here(self) -> int:
        """The address of the next instruction."""
        return self.base + 4 * len(self._words)

    def bind(self, label: Label) -> None:
        """Let `label` stand for the address of the next instruction."""
        if label in self._labels:
            raise InternalError(f"label {label.name!r} is bound twice")
        self._labels[label] = self.here

    # One instruction each.

    def word(self, word: int, comment: str = "", *, data: bool = False) -> None:
        """Append `word` as it is."""
        self._lines.append(Line(4 * len(self._words), 4, comment, data))
        self._words.append(word)

    def block(self, words: Sequence[int], comment: str = "", *, data: bool = False) -> None:
        """Append words as they are, as one item of the listing."""
        if words:
            self._lines.append(Line(4 * len(self._words), 4 * len(words), comment, data))
            self._words.extend(words)

    def push(self, registers: Iterable[int], comment: str = "") -> None:
        """`push {registers}`: the lowest register at the lowest address. One register takes the encoding of STR."""
        mask = mask_of(registers)
        if mask.bit_count() == 1:
            self._emit("STR_immediate_A1", comment, P=1, U=0, W=1, Rn=SP, Rt=mask.bit_length() - 1, imm12=4)
        else:
            self._emit("STMDB_A1", comment, W=1, Rn=SP, registers=_not_empty(mask))

    def pop(self, registers: Iterable[int], comment: str = "") -> None:
        """`pop {registers}`. One register takes the encoding of LDR."""
        mask = mask_of(registers)
        if mask.bit_count() == 1:
            self._emit("LDR_immediate_A1", comment, P=0, U=1, W=0, Rn=SP, Rt=mask.bit_length() - 1, imm12=4)
        else:
            self._emit("LDM_A1", comment, W=1, Rn=SP, registers=_not_empty(mask))

    def push_below(self, Rt: int, room: int, comment: str = "") -> None:
        """`str Rt, [sp, #-room]!`: pushes Rt, with more room above it."""
        self._emit("STR_immediate_A1", comment, P=1, U=0, W=1, Rn=SP, Rt=Rt, imm12=room)

    def pop_above(self, Rt: int, room: int, comment: str = "") -> None:
        """`ldr Rt, [sp], #room`: undoes `push_below`."""
        self._emit("LDR_immediate_A1", comment, P=0, U=1, W=0, Rn=SP, Rt=Rt, imm12=room)

    def ldm(self, Rn: int, registers: Iterable[int], comment: str = "") -> None:
        """`ldm Rn, {registers}`: Rn may be one of them."""
        self._emit("LDM_A1", comment, W=0, Rn=Rn, registers=_not_empty(mask_of(registers)))

    def mov(self, Rd: int, Rm: int, comment: str = "") -> None:
        self._emit("MOV_register_A1", comment, S=0, Rd=Rd, imm5=0, type=0, Rm=Rm)

    def mov_imm(self, Rd: int, value: int, comment: str = "") -> None:
        self._emit("MOV_immediate_A1", comment, S=0, Rd=Rd, imm12=_immediate(value))

    def mvn_imm(self, Rd: int, value: int, comment: str = "") -> None:
        """`mvn Rd, #value`: Rd becomes the complement of `value`."""
        self._emit("MVN_immediate_A1", comment, S=0, Rd=Rd, imm12=_immediate(value))

    def movw(self, Rd: int, value: int, comment: str = "") -> None:
        """`movw Rd, #value`: 16 bits, the upper half becomes zero. Architecture 7 and later."""
        self._emit("MOV_immediate_A2", comment, Rd=Rd, imm4=value >> 12, imm12=value & 0xFFF)

    def movt(self, Rd: int, value: int, comment: str = "") -> None:
        """`movt Rd, #value`: 16 bits into the upper half. Architecture 7 and later."""
        self._emit("MOVT_A1", comment, Rd=Rd, imm4=value >> 12, imm12=value & 0xFFF)

    def add_imm(self, Rd: int, Rn: int, value: int, comment: str = "") -> None:
        self._emit("ADD_immediate_A1", comment, S=0, Rd=Rd, Rn=Rn, imm12=_immediate(value))

    def sub_imm(self, Rd: int, Rn: int, value: int, comment: str = "") -> None:
        self._emit("SUB_immediate_A1", comment, S=0, Rd=Rd, Rn=Rn, imm12=_immediate(value))

    def sub(self, Rd: int, Rn: int, Rm: int, comment: str = "") -> None:
        self._emit("SUB_register_A1", comment, S=0, Rd=Rd, Rn=Rn, imm5=0, type=0, Rm=Rm)

    def add_shifted(self, Rd: int, Rn: int, Rm: int, distance: int, comment: str = "") -> None:
        """`add Rd, Rn, Rm, lsl #distance`."""
        self._emit("ADD_register_A1", comment, S=0, Rd=Rd, Rn=Rn, imm5=distance, type=0, Rm=Rm)

    def ldrex(self, Rt: int, Rn: int, comment: str = "") -> None:
        """`ldrex Rt, [Rn]`. Architecture 6 and later."""
        self._emit("LDREX_A1", comment, Rn=Rn, Rt=Rt)

    def strex(self, Rd: int, Rt: int, Rn: int, comment: str = "") -> None:
        """`strex Rd, Rt, [Rn]`: Rd is 0 when Rt was stored. Architecture 6 and later."""
        self._emit("STREX_A1", comment, Rn=Rn, Rd=Rd, Rt=Rt)

    def svc(self, comment: str = "") -> None:
        """`svc #0`: a system call of Linux."""
        self._emit("SVC_A1", comment, imm24=0)

    def cmp_imm(self, Rn: int, value: int, comment: str = "") -> None:
        self._emit("CMP_immediate_A1", comment, Rn=Rn, imm12=_immediate(value))

    def cmp(self, Rn: int, Rm: int, comment: str = "") -> None:
        self._emit("CMP_register_A1", comment, Rn=Rn, imm5=0, type=0, Rm=Rm)

    def cmn_imm(self, Rn: int, value: int, comment: str = "") -> None:
        """`cmn Rn, #value`: compare with -value."""
        self._emit("CMN_immediate_A1", comment, Rn=Rn, imm12=_immediate(value))

    def ldr(self, Rt: int, Rn: int, offset: int = 0, comment: str = "") -> None:
        """`ldr Rt, [Rn, #offset]`: -4095 to 4095 bytes."""
        self._emit("LDR_immediate_A1", comment, P=1, U=int(offset >= 0), W=0, Rn=Rn, Rt=Rt, imm12=abs(offset))

    def str_(self, Rt: int, Rn: int, offset: int = 0, comment: str = "") -> None:
        """`str Rt, [Rn, #offset]`: -4095 to 4095 bytes."""
        self._emit("STR_immediate_A1", comment, P=1, U=int(offset >= 0), W=0, Rn=Rn, Rt=Rt, imm12=abs(offset))

    def mrs(self, Rd: int, comment: str = "") -> None:
        """`mrs Rd, cpsr`."""
        self._emit("MRS_A1", comment, Rd=Rd)

    def msr_flags(self, Rn: int, comment: str = "", *, ge: bool = False) -> None:
        """`msr cpsr_f, Rn`: N, Z, C, V and Q; with `ge`, `msr cpsr_fs, Rn`, the GE bits of architecture 6 as well."""
        self._emit("MSR_register_A1", comment, mask=3 if ge else 2, Rn=Rn)

    def b(self, target: int | Label, comment: str = "", *, cond: int = ALWAYS) -> None:
        """`b<cond> target`: an address within reach (see `reaches`), or a label."""
        if isinstance(target, Label):
            self._branches.append((len(self._words), target))
            distance = 0
        else:
            distance = _distance(self.here, target)
        self._emit("B_A1", comment or f"b{CONDITIONS[cond]}", cond=cond, imm24=distance)

    def bx(self, Rm: int, comment: str = "") -> None:
        """`bx Rm`: bit 0 says T32. Architecture 4T and later."""
        self._emit("BX_A1", comment, Rm=Rm)

    def bl(self, label: Label, comment: str = "") -> None:
        self._branches.append((len(self._words), label))
        self._emit("BL_immediate_A1", comment, imm24=0)

    def call(self, target: int, comment: str = "", *, cond: int = ALWAYS) -> None:
        """`bl<cond> target`, by way of two words at the end of the code where the target is out of reach."""
        if reaches(self.here, target):
            self._emit("BL_immediate_A1", comment, cond=cond, imm24=_distance(self.here, target))
            return
        self._branches.append((len(self._words), self._far.setdefault(target, Label(f"on to 0x{target:08x}"))))
        self._emit("BL_immediate_A1", comment, cond=cond, imm24=0)

    def ldr_literal(self, Rt: int, value: int, comment: str = "") -> None:
        """`ldr Rt, =value`: the value is placed at the end of the code, once. For Rt = PC this is a jump."""
        self._literals.setdefault(value & _WORD, []).append(len(self._words))
        self._emit("LDR_literal_A1", comment, U=1, Rt=Rt, imm12=0)

    # Sequences.

    def emit_constant(self, Rd: int, value: int, comment: str = "") -> None:
        """Set `Rd` to `value` with the fewest words; no flag and no other register changes."""
        value &= _WORD
        comment = comment or f"{REGISTER_NAMES[Rd]} = 0x{value:x}"
        if encode_immediate(value) is not None:
            self.mov_imm(Rd, value, comment)
        elif encode_immediate(~value & _WORD) is not None:
            self.mvn_imm(Rd, ~value & _WORD, comment)
        elif self.architecture < 7:  # MOVW came with ARMv6T2
            self.ldr_literal(Rd, value, comment)
        else:
            self.movw(Rd, value & 0xFFFF, comment)
            if value >> 16:
                self.movt(Rd, value >> 16, comment)

    def barrier(self, comment: str = "") -> None:
        """`dmb`, in architecture 6 by way of CP15: r3 becomes 0 there. Architecture 6 and later."""
        if self.architecture >= 7:
            self._emit("DMB_A1", comment, option=0b1111)
        else:
            self.mov_imm(3, 0)
            self._emit("MCR_high_A1", comment, opc1=0, CRn=7, Rt=3, coproc=1, opc2=5, CRm=10)

    def emit_jump(self, target: int, comment: str = "") -> None:
        """Go to `target` (bit 0 set: in T32); no register and no flag changes.

        Raises Refused for a T32 target before architecture 5, where a load to PC does not change the instruction set.
        """
        comment = comment or f"go to 0x{target:08x}"
        if reaches(self.here, target):
            self.b(target, comment)
        elif target & 1 and self.architecture < 5:
            raise Refused(
                f"a jump to T32 code at 0x{target & ~1:08x} needs architecture 5 or later, "
                f"and this target has architecture {self.architecture}"
            )
        elif target & 3 == 2:
            raise InternalError(f"0x{target:08x} is no place for A32 code")
        else:
            self.ldr_literal(PC, target, comment)

    def emit_steps(self, steps: Iterable[Step]) -> None:
        """Assemble the steps of a relocation."""
        for step in steps:
            match step:
                case Word(word):
                    self.word(word, "displaced")
                case Constant(register, value):
                    self.emit_constant(register, value)
                case Jump(target):
                    self.emit_jump(target)
                case InBlock() | CompareJump():
                    raise InternalError(f"A32 has no such step: {step}")

    @contextmanager
    def exactly(self, size: int) -> Iterator[None]:
        """Raise InternalError unless the code within is `size` bytes long (literals not counted)."""
        start = len(self._words)
        yield
        made = 4 * (len(self._words) - start)
        if made != size:
            raise InternalError(f"the code at 0x{self.base + 4 * start:08x} is {made} bytes long, not {size}")

    def finish(self) -> Code:
        """Place the literals, resolve the labels and return the code. The assembler is used up."""
        for target, label in self._far.items():
            self.bind(label)
            first, second = struct.unpack("<II", far_jump(target))
            self.word(first, label.name)
            self.word(second, data=True)
        for index, label in self._branches:
            if label not in self._labels:
                raise InternalError(f"label {label.name!r} is used and never bound")
            distance = _distance(self.base + 4 * index, self._labels[label])
            self._words[index] = row("B_A1").with_fields(self._words[index], imm24=distance)
        for value, users in self._literals.items():
            place = len(self._words)
            self.word(value, "literal", data=True)
            for index in users:
                # The base register reads as the address of the load plus 8; a literal right after a load that is not
                # the last word would be below it.
                distance = 4 * (place - index) - 8
                self._words[index] = row("LDR_literal_A1").with_fields(
                    self._words[index], U=int(distance >= 0), imm12=abs(distance)
                )
        data = struct.pack(f"<{len(self._words)}I", *self._words)
        return Code(self.base, data, tuple(self._lines))

    def _emit(self, name: str, comment: str, *, cond: int = ALWAYS, **fields: int) -> None:
        encoding = row(name)
        if encoding.conditional:
            fields["cond"] = cond
        self.word(encoding.encode(**fields), comment)


@cache
def row(name: str) -> Row:
    """The A32 row with the name `name`."""
    return next(candidate for candidate in table() if candidate.name == name)


def _immediate(value: int) -> int:
    encoded = encode_immediate(value)
    if encoded is None:
        raise InternalError(f"0x{value:x} is no modified immediate; emit_constant takes any value")
    return encoded


def _distance(source: int, target: int) -> int:
    if not reaches(source, target):
        raise InternalError(f"a branch at 0x{source:08x} does not reach 0x{target:08x}; emit_jump does")
    return (target - source - 8) // 4 & 0xFFFFFF


def _not_empty(mask: int) -> int:
    if not mask:
        raise InternalError("a push or pop of no register")
    return mask
