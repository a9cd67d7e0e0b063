"""Breakpoints that a GDB stub sets by itself, whole batches in a flight."""

from __future__ import annotations

from collections.abc import Sequence

from armprobe.errors import TargetError
from armprobe.targets.connection import Connection
from armprobe.targets.rsp import error_of

_WORD = 4
#: Z0, and Z1 for code that the stub cannot write, as in flash
_SOFTWARE, _HARDWARE = b"0", b"1"


class RemoteBreakpoints:
    """The breakpoints at one stub: a `Breakpoints`. One stays while any of its owners wants it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kinds: dict[int, bytes] = {}
        self._owners: dict[int, set[object]] = {}

    def __contains__(self, address: int) -> bool:
        return address in self._kinds

    def insert(self, addresses: Sequence[int], *, owner: object = None) -> None:
        fresh = [address for address in addresses if address not in self._kinds]
        refused = self._set(fresh, _SOFTWARE)
        refused = self._set(list(refused), _HARDWARE)
        if refused:
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

    def _set(self, addresses: Sequence[int], kind: bytes) -> dict[int, bytes]:
        """Set them; return the replies of those that the stub does not set."""
        replies = self._connection.exchange([b"Z%b,%x,%x" % (kind, address, _WORD) for address in addresses])
        refused = {}
        for address, reply in zip(addresses, replies, strict=True):
            if reply == b"OK":
                self._kinds[address] = kind
            else:
                refused[address] = reply
        return refused

    def _clear(self, addresses: Sequence[int]) -> list[int]:
        """Take them away; return those that stay."""
        replies = self._connection.exchange([b"z%b,%x,%x" % (self._kinds[at], at, _WORD) for at in addresses])
        left = []
        for address, reply in zip(addresses, replies, strict=True):
            if reply == b"OK":
                del self._kinds[address]
                self._owners.pop(address, None)
            else:
                left.append(address)
        return left
