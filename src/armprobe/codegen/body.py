"""The code of a compiled handler in a detour: what it is given, what it changes, and where its holes are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from armprobe.codegen.memory import ROUTINE_STACK
from armprobe.codegen.object_file import (
    R_ARM_ABS32,
    R_ARM_CALL,
    R_ARM_JUMP24,
    R_ARM_MOVT_ABS,
    R_ARM_MOVW_ABS_NC,
    ObjectCode,
)
from armprobe.codegen.trim import BRANCH_TO_SELF, CALL_OF_SELF, Trim, saves
from armprobe.errors import InternalError
from armprobe.isa.decoder import decode
from armprobe.isa.insn import REGISTER_NAMES, Insn, expand_immediate
from armprobe.isa.usage import FLAG_BITS

SP, LR, PC = 13, 14, 15
#: the symbol that every return of the code branches to
END = "armprobe_end"


class Exit(Enum):
    """Where else code may leave to; the value is the symbol that it branches to then."""

    #: the ring should be emptied
    DRAIN = "armprobe_drain"
    #: host handlers are wanted
    STOP = "armprobe_stop"
    #: the condition holds
    HOLDS = "armprobe_holds"
    #: the function that begins at the site is not to be executed
    SKIP = "armprobe_skip"
    #: the same, and the ring should be emptied
    DRAIN_AND_SKIP = "armprobe_drain_and_skip"


#: the ways that lead to the caller of the function that begins at the site
SKIPPING = frozenset({Exit.SKIP, Exit.DRAIN_AND_SKIP})


_ALL_FLAGS = sum(FLAG_BITS.values())
_SCRATCH = 0x100F  # r0 to r3 and r12: what a function may change (AAPCS 6.1.1)
#: `mcr p15, 0, Rt, c7, c10, 5`: the data memory barrier of architecture 6, open to user code (DDI 0406C B4.2.5)
_V6_BARRIER = 0x0E070FBA
#: reads of system registers, which `armprobe.codegen.read_value` asks for
_SYSTEM_READS = {"MRC_high_A1", "MRRC_high_A1"}
_ENDS = {END, *(way.value for way in Exit)}
_LITERAL_LOADS = {f"LDR{size}_literal_A1" for size in ("", "B", "H", "SB", "SH")}
_WORD = 0xFFFFFFFF


class HoleKind(Enum):
    """What goes into a hole; the value is the name in "ELF for the Arm Architecture"."""

    MOVW = "R_ARM_MOVW_ABS_NC"
    MOVT = "R_ARM_MOVT_ABS"
    ABS32 = "R_ARM_ABS32"
    CALL = "R_ARM_CALL"


_KINDS = {R_ARM_MOVW_ABS_NC: HoleKind.MOVW, R_ARM_MOVT_ABS: HoleKind.MOVT, R_ARM_ABS32: HoleKind.ABS32}


@dataclass(frozen=True, slots=True)
class Hole:
    """The word `index` needs the address `symbol + addend`; the addend of a call is 0."""

    index: int
    kind: HoleKind
    symbol: str
    addend: int


@dataclass(frozen=True, slots=True)
class Body:
    """A32 code that may stand anywhere, once its holes are filled: control enters at the first word and leaves by
    falling off the last, or by one of its exits.

    SP need only be a multiple of 4. What is not listed in `clobbers` and `flags` is as before when control leaves.
    """

    #: code, then literals
    words: tuple[int, ...]
    #: how many of the words are code
    code: int
    relocations: tuple[Hole, ...]
    #: (position, source): AAPCS argument `position` (0 to 3: the register; 4...: the word at SP + 4 * (position - 4))
    #: must hold the register `source` as it was at the site. r0 to r3 are in their own place.
    arguments: tuple[tuple[int, str], ...]
    #: mask of core registers that change, with the argument registers that the caller must set
    clobbers: int
    #: flags that change, as in `armprobe.isa.rows.FLAG_BITS`
    flags: int
    #: bytes written below SP, at most
    stack: int
    #: (index, exit): the word is a branch, with a condition or without, that is yet to be given its target
    exits: tuple[tuple[int, Exit], ...] = ()
    #: whether r0 is, at the end and at all exits but those that skip, what LR shall be when the program goes on
    links: bool = False
    #: how many registers from r0 on are, at the exits that skip, what the caller shall find in them; at a return, at
    #: the end and at all exits
    results: int = 0
    #: mask of registers beyond r0 to r3 that it reads as they were at the site
    in_place: int = 0

    @property
    def skips(self) -> bool:
        """Whether it may leave the function that begins at the site."""
        return any(way in SKIPPING for _, way in self.exits)

    @property
    def given(self) -> int:
        """How many registers from r0 on the surroundings look at when it has run."""
        return max(int(self.links), self.results)

    @property
    def symbols(self) -> frozenset[str]:
        """The names that `link` needs."""
        return frozenset(hole.symbol for hole in self.relocations)

    @property
    def called(self) -> frozenset[str]:
        """The functions that it calls, with arguments and results as AAPCS has them."""
        return frozenset(hole.symbol for hole in self.relocations if hole.kind is HoleKind.CALL)

    def link(self, symbols: Mapping[str, int]) -> tuple[list[int], dict[int, int]]:
        """The words with all holes filled but those of calls, and what is called, by index.

        Raises InternalError for a symbol that is not given.
        """
        words, called = list(self.words), {}
        for hole in self.relocations:
            if hole.symbol not in symbols:
                raise InternalError(f"the handler needs the address of {hole.symbol!r}; given are {sorted(symbols)}")
            address = symbols[hole.symbol] + hole.addend & _WORD
            if hole.kind is HoleKind.ABS32:
                words[hole.index] = address
            elif hole.kind is HoleKind.CALL:
                called[hole.index] = address
            else:
                half = address & 0xFFFF if hole.kind is HoleKind.MOVW else address >> 16
                words[hole.index] |= half >> 12 << 16 | half & 0xFFF
        return words, called


def make_body(
    code: ObjectCode,
    *,
    arguments: tuple[tuple[int, str], ...],
    atomic: bool,
    links: bool = False,
    results: int = 0,
) -> Body:
    """Make a Body of a compiled function whose returns are tail calls of END or of the symbols of exits.

    Raises Refused when the code holds an instruction that armprobe does not know, InternalError when it breaks a
    promise: no vector registers, no exclusives unless `atomic`, no branch but within or a call, AAPCS registers
    preserved.
    """
    made, holes = _resolve(code)
    insns = [decode(word) for word in made.words[: made.code]]
    calls = {hole.index for hole in holes if hole.kind is HoleKind.CALL}
    for index, insn in enumerate(insns):
        if index not in made.leaving and index not in calls:
            _check(insn, index, words=len(made.words), literals=made.code, atomic=atomic)
    clobbers = _clobbers(insns)
    if (saved := saves(insns)) and made.delete(saved):
        clobbers = _written([decode(word) for word in made.words[: made.code]])
    made.leave_at_once()
    made.delete(made.unreachable())
    if made.leaving.get(made.code - 1) == END and made.code == len(made.words):
        made.drop_last()
    words = made.words
    for index in (index for index, symbol in made.leaving.items() if symbol == END):
        words[index] = words[index] & 0xFF000000 | len(words) - index - 2 & 0xFFFFFF
    if calls:
        clobbers |= _SCRATCH
    clobbers |= sum(
        1 << position for position, source in arguments if position < 4 and source != REGISTER_NAMES[position]
    )
    insns, flags = [decode(word) for word in words[: made.code]], _ALL_FLAGS if calls else 0
    for insn in insns:
        flags |= insn.usage.flags_written
    exits = sorted((index, Exit(symbol)) for index, symbol in made.leaving.items() if symbol != END)
    return Body(
        tuple(words), made.code, tuple(replace(hole, index=made.place[hole.index]) for hole in holes), arguments,
        clobbers | links | (1 << results) - 1, flags, stack_use(insns) + (ROUTINE_STACK if calls else 0), tuple(exits),
        links, results,
    )  # fmt: skip


def _resolve(code: ObjectCode) -> tuple[Trim, list[Hole]]:
    """The code with its ways out, and its holes. Raises InternalError for other relocations, and without a return."""
    words = list(code.words)
    holes: list[Hole] = []
    leaving: dict[int, str] = {}
    for index, kind, symbol in code.relocations:
        if kind == R_ARM_JUMP24 and symbol in _ENDS and words[index] & 0x0FFFFFFF == BRANCH_TO_SELF:
            leaving[index] = symbol
        elif kind in (R_ARM_CALL, R_ARM_JUMP24) and symbol not in _ENDS and words[index] & 0x0FFFFFFF == CALL_OF_SELF:
            holes.append(Hole(index, HoleKind.CALL, symbol, 0))
        elif kind in _KINDS and symbol:
            holes.append(_hole(words, index, _KINDS[kind], symbol))
        else:
            raise InternalError(f"the compiled handler has a relocation of type {kind} to {symbol!r}")
    if words[code.literals - 1] >> 24 != 0xEA:
        raise InternalError("the compiled handler does not end in a return")
    return Trim(words, code.literals, leaving), holes


def _hole(words: list[int], index: int, kind: HoleKind, symbol: str) -> Hole:
    """Take the addend out of the word: a REL relocation keeps it there."""
    word = words[index]
    if kind is HoleKind.ABS32:
        words[index] = 0
        return Hole(index, kind, symbol, word)
    addend = word >> 4 & 0xF000 | word & 0xFFF
    words[index] = word & 0xFFF0F000
    return Hole(index, kind, symbol, (addend ^ 0x8000) - 0x8000)


def _check(insn: Insn, index: int, *, words: int, literals: int, atomic: bool) -> None:
    """Raise InternalError unless the instruction may stand at `index` of a body."""
    usage = insn.usage
    allowed = {"hint"} | ({"monitor_load", "monitor_store", "monitor_clear", "barrier"} if atomic else set())
    problem = ""
    if usage.vector_reads or usage.vector_writes:
        problem = "uses a vector register"
    elif (
        insn.row.effects - allowed
        and insn.row.name not in _SYSTEM_READS
        and not (atomic and insn.word & 0x0FFF0FFF == _V6_BARRIER)
    ):
        problem = f"has the effect {', '.join(sorted(insn.row.effects - allowed))}"
    elif (target := insn.target(4 * index)) is not None:
        inside = 0 <= target < 4 * literals or target == 4 * words
        problem = "" if insn.row.relocate == "branch" and inside else "leaves the code"
    elif insn.writes_pc:
        problem = "writes PC"
    elif insn.reads_pc and not _reaches_literal(insn, index, words=words, literals=literals):
        problem = "reads PC"
    if problem:
        raise InternalError(f"the compiled handler holds {insn.row.name} (0x{insn.word:08x}), which {problem}")


def _reaches_literal(insn: Insn, index: int, *, words: int, literals: int) -> bool:
    """Whether the instruction loads from the literals, or takes the address of one, and has no other use of PC."""
    fields = insn.fields
    if insn.row.name == "ADD_immediate_A1":
        distance = expand_immediate(fields["imm12"])
    elif insn.row.name in _LITERAL_LOADS:
        distance = fields["imm12"] if "imm12" in fields else fields["imm4H"] << 4 | fields["imm4L"]
        distance = distance if fields["U"] else -distance
    else:
        return False
    # A load does not cross into the next word: literals are aligned to their size.
    return 4 * literals <= 4 * index + 8 + distance < 4 * words


def _clobbers(insns: list[Insn]) -> int:
    """The registers that change. What is pushed and popped is preserved, as AAPCS demands of the compiler."""
    written = pushed = popped = 0
    for insn in insns:
        usage = insn.usage
        on_stack = usage.reads & usage.writes & 1 << SP
        if on_stack and usage.stores:
            pushed |= usage.reads
        elif on_stack and usage.loads:
            popped |= usage.writes
        else:
            written |= _written([insn])
    saved = pushed & popped & ~_SCRATCH
    lost = (written | popped) & ~(saved | _SCRATCH | 1 << SP)
    if lost:
        names = ", ".join(name for number, name in enumerate(REGISTER_NAMES) if lost >> number & 1)
        raise InternalError(f"the compiled handler does not preserve {names}")
    return (written | popped) & _SCRATCH


def _written(insns: list[Insn]) -> int:
    mask = 0
    for insn in insns:
        mask |= insn.usage.writes
    return mask & ~(1 << PC)  # branches stay within, as `_check` saw


#: what writes SP, and takes nothing: MSR masks interrupts, and leaves the mode as it is
_LEAVES_STACK = ("ADD_immediate_A1", "MSR_register_control_A1")


def stack_use(insns: Iterable[Insn]) -> int:
    """An upper bound of the bytes written below SP: all that is ever taken, counted once for each instruction."""
    total = 0
    for insn in insns:
        usage, fields = insn.usage, insn.fields
        if not usage.writes >> SP & 1:
            continue
        if usage.stores and usage.stack is not None:
            total += usage.stack
        elif insn.row.name == "SUB_immediate_A1" and fields["Rn"] == SP:
            total += expand_immediate(fields["imm12"])
        elif not usage.loads and insn.row.name not in _LEAVES_STACK:
            raise InternalError(f"the stack use of {insn.row.name} (0x{insn.word:08x}) is not known")
    return total
