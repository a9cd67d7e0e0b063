"""The words a patch protocol is written in: operations of the one who patches, and what stands where.

A protocol replaces the instruction (or two) at one site while *cores* pass it. Memory is a few *cells*: the site's
first and second unit (words in A32, halfwords in T32), then one cell for each stub: a detour with the out-of-line copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from armprobe.isa.instruction_set import InstructionSet

# --- cells

FIRST = 0
SECOND = 1


def stub_cell(number: int) -> int:
    """The cell that stands for all code of stub `number`."""
    return 2 + number


#: what a stub's cell holds: whatever was there before, or the code
JUNK = 0
CODE = 1

# --- places: where a core can be

IDLE = 0  # on its way to the site
AT_SITE = 1
AT_SECOND = 2  # at the second instruction of a two-word window
_STUBS = 4


def dispatch(stub: int = 0) -> int:
    """The first instruction of a stub that goes where the data slot says: `ldr pc, [slot]`."""
    return _STUBS + 4 * stub


def hook(stub: int = 0) -> int:
    """The entry of a detour: the handlers run, then the copy."""
    return _STUBS + 4 * stub + 1


def copy(stub: int = 0) -> int:
    """The out-of-line copy of the displaced instructions; a parked site goes straight there."""
    return _STUBS + 4 * stub + 2


def second_copy(stub: int = 0) -> int:
    """The copy of the second displaced instruction of a window."""
    return _STUBS + 4 * stub + 3


def stub_of(place: int) -> int | None:
    """The number of the stub that a place lies in, None outside of stubs."""
    return (place - _STUBS) // 4 if place >= _STUBS else None


def stub_places(stub: int = 0) -> tuple[int, ...]:
    """All places in a stub."""
    return dispatch(stub), hook(stub), copy(stub), second_copy(stub)


_STUB_PARTS = ("dispatch", "hook", "copy", "second copy")


def place_name(place: int) -> str:
    """A place as tables show it."""
    if place < _STUBS:
        return ("idle", "site", "second word")[place]
    stub = (place - _STUBS) // 4
    return _STUB_PARTS[place % 4] + ("" if stub == 0 else f" of stub {stub}")


# --- what an instruction does


class Kind(Enum):
    """What a core does when it executes an instruction of the model."""

    ORIGINAL = "the program's own instruction"
    REPLACEMENT = "an instruction that does its work and counts as a hit"
    TRAP = "a trap"
    GOTO = "a branch to a place"
    LOAD_PC = "a load of PC from the second unit of the site"
    ADDRESS = "no instruction: the address that LOAD_PC loads"


@dataclass(frozen=True, slots=True)
class Action:
    """The effect of an instruction; `place` belongs to GOTO and ADDRESS, `index` (0 or 1) to ORIGINAL."""

    kind: Kind
    place: int = IDLE
    index: int = 0

    def __str__(self) -> str:
        match self.kind:
            case Kind.ORIGINAL:
                return ("the instruction", "the second instruction")[self.index]
            case Kind.REPLACEMENT:
                return "the new instruction"
            case Kind.TRAP:
                return "trap"
            case Kind.GOTO:
                return f"branch to {place_name(self.place)}"
            case Kind.LOAD_PC:
                return "load of PC"
            case Kind.ADDRESS:
                return f"address of {place_name(self.place)}"


class Handler(Enum):
    """What the trap handler does for a trap of ours."""

    EMULATE = "counts, executes the displaced instruction, returns behind it"
    DETOUR = "goes on in the stub"
    REREAD = "reads the instruction back from memory first, and expects a trap there"


class Promise(Enum):
    """What has been promised to the user about passes that begin from now on."""

    NOTHING = "nothing"
    HIT = "every pass hits"
    NO_HIT = "no pass hits"


# --- operations


@dataclass(frozen=True, slots=True)
class Store:
    """Write `value` to a cell."""

    cell: int
    value: int


@dataclass(frozen=True, slots=True)
class Dc:
    """Clean the data cache to the point of unification; complete at the next DSB at the latest."""

    cell: int


@dataclass(frozen=True, slots=True)
class Ic:
    """Invalidate the instruction caches and branch predictors: of all cores, or of one only where not broadcast."""

    cell: int
    broadcast: bool = True


@dataclass(frozen=True, slots=True)
class Dsb:
    """Wait until all cache maintenance is complete."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask all cores to stop."""


@dataclass(frozen=True, slots=True)
class WaitStopped:
    """Wait until `count` cores have stopped; all by default."""

    count: int | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """Let stopped cores go on, with a context synchronisation event (CSE) or without one."""

    synchronize: bool = True


@dataclass(frozen=True, slots=True)
class Ipi:
    """Ask every core for a CSE: an interrupt, or membarrier(SYNC_CORE)."""


@dataclass(frozen=True, slots=True)
class WaitIpi:
    """Wait until every core has had it."""


@dataclass(frozen=True, slots=True)
class Move:
    """Set the PC of stopped cores: those at `source` go on at `target`."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Retry:
    """If a stopped core is at one of `places`, resume all and stop them again."""

    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """Enter the site into the handler's table, with its stub."""

    stub: int = 0


@dataclass(frozen=True, slots=True)
class Disarm:
    """Take the site out of the handler's table."""


@dataclass(frozen=True, slots=True)
class SetSlot:
    """Write the data slot that `dispatch` of a stub loads."""

    place: int
    stub: int = 0


@dataclass(frozen=True, slots=True)
class WaitLeft:
    """Wait until no core's PC, saved or not, is at one of `places`."""

    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WaitHandlers:
    """Wait until no core is between a trap and its handler."""


@dataclass(frozen=True, slots=True)
class Free:
    """Give the memory of a stub back."""

    stub: int = 0


@dataclass(frozen=True, slots=True)
class Say:
    """Return to the user with a promise, or take back the one given."""

    promise: Promise


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim that every core fetches `value` from the cell from now on."""

    cell: int
    value: int


Operation = (
    Store | Dc | Ic | Dsb | Stop | WaitStopped | Resume | Ipi | WaitIpi | Move | Retry | Arm | Disarm | SetSlot
    | WaitLeft | WaitHandlers | Free | Say | Claim
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Protocol:
    """Operations in the order they are done, and the situation they begin in.

    `memory` is what each cell holds at first, `meaning` what each instruction does: a word of A32, a halfword or
    0xhw1_hw2 of T32. An instruction without a meaning was written by nobody. `window` is the number of the program's
    own instructions at the site, 1 or 2.
    """

    name: str
    summary: str
    operations: tuple[Operation, ...]
    memory: tuple[int, ...]
    meaning: Mapping[int, Action] = field(hash=False)
    isa: InstructionSet = InstructionSet.A32
    handler: Handler = Handler.EMULATE
    armed: int | None = None
    window: int = 1
    #: where the data slot of each stub leads
    slots: tuple[int, ...] = (IDLE, IDLE)
    #: whether a core can be stopped between a trap and its handler: ptrace, yes; a kernel with interrupts off, no
    stop_in_handler: bool = True
    #: cores are those of an emulator that translates whole instructions, and throws away what it has of a page at each
    #: store there: any word may replace any other, and what was never executed is in nobody's translations. A core that
    #: has the old word may go on with it, for as long as it likes here
    translates: bool = False


def synchronize(*cells: int) -> tuple[Operation, ...]:
    """The cache maintenance for what was written to `cells`: DC, DSB, IC, DSB (DDI 0487 B2.7.4.2)."""
    return (*(Dc(cell) for cell in cells), Dsb(), *(Ic(cell) for cell in cells), Dsb())


#: a context synchronisation event on every running core
CSE_ON_ALL: tuple[Operation, ...] = (Ipi(), WaitIpi())
