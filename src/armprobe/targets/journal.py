"""What a session changes in a target that outlives it, noted before it is changed.

Whoever finds the notes of a session that did not end can undo it: `probes.recovery`. A change that is noted may have
been made, or not, or in part. `Left` says what all notes together leave to be undone.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

#: bytes of a mark
MARK = 16
_WORD = 4


@dataclass(frozen=True, slots=True)
class Words:
    """Code of the program is about to change: address, what stands there, what will."""

    writes: tuple[tuple[int, bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Unmapped:
    """The [start, end) spans are gone, with all that was changed there: the program has unloaded what it had there."""

    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Traps:
    """The target is about to set traps by itself, of a `kind` of its own."""

    kind: str
    addresses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TrapsGone:
    """The target has taken traps away."""

    addresses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """[start, end) is about to be used for slots. `mark` will stand at its start as long as it is ours.

    `original` is what the user's own memory held; None: the target gave it, and takes it back.
    """

    start: int
    end: int
    original: bytes | None
    mark: bytes


@dataclass(frozen=True, slots=True)
class Writable:
    """The [start, end) spans of the program's memory in which a task that sleeps may have its PC."""

    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Code is about to be written to [start, end), for the site at `site`; for all that call it where that is `start`.

    `exits` are traps in it, and where in it a thread that stopped at one goes on when nobody handles it.
    """

    start: int
    end: int
    site: int
    exits: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Pads:
    """Calls are about to come back through [start, end): `size` pads; their return addresses are in `table`.

    `drain` is a trap in the code behind the pads, and where a thread goes on that stopped there. Without code, the pads
    themselves are traps.
    """

    start: int
    end: int
    size: int
    table: int
    code: bool
    drain: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class PadsGone:
    """No call comes back through the pads at `start` any more."""

    start: int


@dataclass(frozen=True, slots=True)
class Call:
    """A thread is about to call `function` with SP at `sp`, and to come back to a trap at `back`.

    There its registers become `values`, r0 to pc, and `cpsr` again.
    """

    function: int
    values: tuple[int, ...]
    cpsr: int
    sp: int
    back: int


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The function that was called last returned `result`, and the thread is about to have its registers again."""

    result: int


@dataclass(frozen=True, slots=True)
class CallUndone:
    """The thread that was made to call last has its registers again, and nobody asks for the result."""


@dataclass(frozen=True, slots=True)
class OfProcess:
    """The target is a process, by its `number` where its stub runs: no change."""

    number: int


@dataclass(frozen=True, slots=True)
class HeldFile:
    """The stub holds a file for data of ours, which it calls `number`: no change of the target."""

    number: int


@dataclass(frozen=True, slots=True)
class OwnTimer:
    """The process has a timer for us, which its kernel calls `number`; it `ticks`, or stands."""

    number: int
    ticks: bool


@dataclass(frozen=True, slots=True)
class OwnTimerGone:
    """The process has it no more."""


@dataclass(frozen=True, slots=True)
class KernelMemory:
    """A kernel gave [start, end), which `functions` take back; `mark` stands at its start. (0, 0): it is about to.

    `functions` are the addresses of those functions that are called for that, by name.
    """

    start: int
    end: int
    mark: bytes
    functions: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class KernelMemoryGone:
    """The kernel has its memory again."""


@dataclass(frozen=True, slots=True)
class InPlace:
    """Memory for slots stays, as a task may sleep in one of `slots`: (start, end, site). Nothing else leads there.

    `memory` is as in `Memory`: start, end, what it held, and what stands at its start as long as it is ours. A word in
    `spans` of memory may be the PC of such a task.
    """

    memory: tuple[tuple[int, int, bytes | None, bytes], ...]
    slots: tuple[tuple[int, int, int], ...]
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class InPlaceGone:
    """The memory in place that begins at `start` was given back."""

    start: int


@dataclass(frozen=True, slots=True)
class Settled:
    """All words, code, pads and memory noted so far are undone, but for memory in place."""


@dataclass(frozen=True, slots=True)
class TargetGone:
    """The target is gone, and all changes with it."""


Change = (
    Words | Unmapped | Traps | TrapsGone | Memory | Writable | Code | Pads | PadsGone | Call | CallEnded | CallUndone
    | OfProcess | HeldFile | OwnTimer | OwnTimerGone | KernelMemory | KernelMemoryGone | InPlace | InPlaceGone | Settled
    | TargetGone
)  # fmt: skip


class Journal(Protocol):
    """Keeps changes where they outlive this process."""

    @property
    def left(self) -> Left:
        """What all changes noted until now leave to be undone."""

    @property
    def remedy(self) -> str:
        """What undoes them later: a command."""

    def note(self, *changes: Change) -> None:
        """Keep them, in this order, before returning. Raises UsageError when that can't be done."""


def note(journal: Journal | None, *changes: Change) -> None:
    """Note changes where there is a journal."""
    if journal is not None and changes:
        journal.note(*changes)


def make_mark() -> bytes:
    """Bytes that stand nowhere else: they tell memory of this session from what came later."""
    return secrets.token_bytes(MARK)


@dataclass(slots=True)
class Left:
    """What is, or may be, left of a session. `words`: by address, the program's word, and ours that may stand there."""

    words: dict[int, tuple[bytes, set[bytes]]] = field(default_factory=dict)
    traps: dict[int, str] = field(default_factory=dict)
    memory: list[Memory] = field(default_factory=list)
    #: where a task that sleeps may have its PC
    writable: tuple[tuple[int, int], ...] = ()
    #: newest last: where two overlap, the memory of the older one was free
    code: list[Code] = field(default_factory=list)
    pads: list[Pads] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    #: the call that ended last, and its result: the thread may not have been told
    ended: tuple[Call, int] | None = None
    kernel: KernelMemory | None = None
    #: which process it is, where the target is one that a server of processes holds
    process: int | None = None
    #: what the stub calls a file that it may hold still
    file: int | None = None
    timer: OwnTimer | None = None
    #: of sessions that are over; nobody else may use that memory
    in_place: list[InPlace] = field(default_factory=list)

    @classmethod
    def of(cls, changes: Iterable[Change]) -> Left:
        left = cls()
        for change in changes:
            left.add(change)
        return left

    def __bool__(self) -> bool:
        return self.unfinished or bool(self.in_place)

    @property
    def unfinished(self) -> bool:
        """Whether a session did not come to its end."""
        left = (self.words, self.traps, self.memory, self.code, self.pads, self.calls, self.kernel)
        return any(left) or self.timer is not None

    def add(self, change: Change) -> None:
        match change:
            case Words(writes):
                for address, before, after in writes:
                    for at in range(0, len(before), _WORD):
                        self._add_word(address + at, before[at : at + _WORD], after[at : at + _WORD])
            case Unmapped(spans):
                for noted in (self.words, self.traps):
                    for address in [at for at in noted if any(start <= at < end for start, end in spans)]:
                        del noted[address]
            case Traps(kind, addresses):
                self.traps |= dict.fromkeys(addresses, kind)
            case TrapsGone(addresses):
                for address in addresses:
                    self.traps.pop(address, None)
            case Memory():
                self.memory.append(change)
            case Writable(spans):
                self.writable = spans
            case Code():
                self.code.append(change)
            case Pads():
                self.pads.append(change)
            case PadsGone(start):
                self.pads = [pads for pads in self.pads if pads.start != start]
            case Call():
                self.calls.append(change)
            case CallEnded(result):
                self.ended = self.calls.pop(), result
            case CallUndone():
                self.calls.pop()
            case OfProcess(number):
                self.process = number
            case HeldFile(number):
                self.file = number
            case OwnTimer():
                self.timer = change
            case OwnTimerGone():
                self.timer = None
            case KernelMemory():
                self.kernel = change
            case KernelMemoryGone():
                self.kernel = None
            case InPlace():
                self.in_place.append(change)
            case InPlaceGone(start):
                self.in_place = [each for each in self.in_place if each.memory[0][0] != start]
            case TargetGone():
                self.clear()
            case Settled():
                for settled in (self.words, self.memory, self.code, self.pads):
                    settled.clear()
                self.writable = ()

    def clear(self) -> None:
        for part in (self.words, self.traps, self.memory, self.code, self.pads, self.calls, self.in_place):
            part.clear()
        self.kernel = self.timer = None
        self.writable = ()

    def _add_word(self, address: int, before: bytes, after: bytes) -> None:
        original, ours = self.words.get(address, (before, set()))
        if before != original and before not in ours:
            original, ours = before, set()  # the program changed its code while no probe was there
        self.words[address] = original, ours | {before, after} - {original}
