"""Breakpoints that a GDB stub sets by itself, whole batches in a flight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from armprobe.errors import TargetError
from armprobe.targets.connection import Connection
from armprobe.targets.journal import Journal, Traps, TrapsGone, note
from armprobe.targets.rsp import error_of

#: Z0, and Z1 for code that the stub cannot write, as in flash
_SOFTWARE, _HARDWARE = b"0", b"1"


class RemoteBreakpoints:
    """The breakpoints at one stub: a `Breakpoints`. One stays while any of its owners wants it."""

    def __init__(self, connection: Connection, journal: Journal | None = None) -> None:
        self._connection = connection
        self._journal = journal
        self._kinds: dict[int, bytes] = {}
        self._owners: dict[int, set[object]] = {}
        #: those of a session that was killed: the stub may know nothing of them
        self._adopted: set[int] = set()

    def __contains__(self, address: int) -> bool:
        return address in self._kinds

    def insert(self, addresses: Sequence[int], *, owner: object = None) -> None:
        fresh = [address for address in addresses if address not in self._kinds]
        refused = self._set(fresh, _SOFTWARE)
        refused = self._set(list(refused), _HARDWARE)
        if refused:
            note(self._journal, TrapsGone(tuple(refused)))
            self._clear([address for address in fresh if address in self._kinds])
            address, reply = next(iter(refused.items()))
            raise TargetError(
                f"the stub at {self._connection.name} sets no breakpoint at 0x{address:08x}, it answers "
                f"{error_of(reply) or reply.decode('latin-1')!r}; {len(addresses)} were wanted, and none is set",
                hint="code in flash takes breakpoints of the processor, of which there are few",
            )
        for address in addresses:
            self._owners.setdefault(address, set()).add(owner)

    def remove(self, addresses: Sequence[int], *, owner: object = None) -> None:
        unwanted = []
        for address in addresses:
            owners = self._owners.get(address, set())
            owners.discard(owner)
            if not owners and address in self._kinds:
                unwanted.append(address)
        left = self._clear(unwanted)
        if left:
            listed = ", ".join(f"0x{address:08x}" for address in left)
            raise TargetError(f"the stub at {self._connection.name} keeps its breakpoints at {listed}")

    def watch(self, address: int, size: int, kind: bytes) -> None:
        """Set a watchpoint: a `kind` of Z packets. Raises TargetError when the stub does not."""
        refused = self._set([address], b"%b,%x" % (kind, size))
        if refused:
            note(self._journal, TrapsGone((address,)))
            answer = error_of(refused[address]) or refused[address].decode("latin-1")
            raise TargetError(
                f"the stub at {self._connection.name} does not watch {size} bytes at 0x{address:08x}: "
                f"it answers {answer!r}",
                hint="processors have few watchpoints, and some stubs, as QEMU's for user mode, none",
            )
        self._owners[address] = {None}

    def adopt(self, traps: Mapping[int, str]) -> None:
        for address, kind in traps.items():
            if address not in self._kinds:
                self._kinds[address] = kind.encode()
                self._owners[address] = {None}
                self._adopted.add(address)

    def clear(self) -> None:
        """Take all away, whoever wants them. Raises TargetError when one stays."""
        left = self._clear(list(self._kinds))
        if left:
            raise TargetError(f"the stub at {self._connection.name} keeps {len(left)} breakpoints")

    def renew(self) -> None:
        """Set all again, which a stub has perhaps forgotten. Raises TargetError when one can't be set."""
        requests = [_request(letter, kind, at) for letter in (b"z", b"Z") for at, kind in self._kinds.items()]
        replies = self._connection.exchange(requests)[len(self._kinds) :]
        lost = [address for address, reply in zip(list(self._kinds), replies, strict=True) if reply != b"OK"]
        if lost:
            listed = ", ".join(f"0x{address:08x}" for address in lost)
            raise TargetError(f"the stub at {self._connection.name} has lost its breakpoints at {listed}")

    def others(self, owner: object) -> bool:
        """Whether there are any that somebody else than the owner wants."""
        return any(owners - {owner} for owners in self._owners.values())

    def removals(self) -> list[bytes]:
        """The requests that take all of them from another process, which has inherited them."""
        return [_request(b"z", kind, address) for address, kind in self._kinds.items()]

    def _set(self, addresses: Sequence[int], kind: bytes) -> dict[int, bytes]:
        """Set them; return the replies of those that the stub does not set."""
        if addresses:
            note(self._journal, Traps(kind.decode(), tuple(addresses)))
        replies = self._connection.exchange([_request(b"Z", kind, address) for address in addresses])
        refused = {}
        for address, reply in zip(addresses, replies, strict=True):
            if reply == b"OK":
                self._kinds[address] = kind
            else:
                refused[address] = reply
        return refused

    def _clear(self, addresses: Sequence[int]) -> list[int]:
        """Take them away; return those that stay."""
        replies = self._connection.exchange([_request(b"z", self._kinds[at], at) for at in addresses])
        left, gone = [], []
        for address, reply in zip(addresses, replies, strict=True):
            if reply == b"OK" or address in self._adopted:
                del self._kinds[address]
                self._owners.pop(address, None)
                self._adopted.discard(address)
                gone.append(address)
            else:
                left.append(address)
        if gone:
            note(self._journal, TrapsGone(tuple(gone)))
        return left


def _request(letter: bytes, kind: bytes, address: int) -> bytes:
    """A packet that sets (Z) or clears (z). A kind that is no breakpoint's has the size of the data with it."""
    number, _, size = kind.partition(b",")
    return b"%b%b,%x,%b" % (letter, number, address, size or b"4")
