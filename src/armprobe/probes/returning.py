"""What a return probe is, and which functions can have one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from armprobe.codegen.actions import Action
from armprobe.errors import Refused, UsageError
from armprobe.isa.decoder import decode
from armprobe.isa.flow import ReadWord
from armprobe.isa.insn import ALWAYS
from armprobe.isa.link import finds_out
from armprobe.probes.definition import MAXACTIVE, MOST_ACTIVE
from armprobe.probes.probe import Hit, HostHandler

#: functions that return more often than they are called, as GCC knows them by name
_RETURN_TWICE = frozenset({"setjmp", "sigsetjmp", "savectx", "vfork", "getcontext"})


@dataclass(frozen=True, slots=True)
class Returning:
    """What makes a probe a return probe. `entry` is called at the entry; what it returns is `hit.entry` later."""

    handler: HostHandler | None
    entry: Callable[[Hit], object] | None = None
    maxactive: int = MAXACTIVE
    #: what is compiled into the trampoline; it does without the host then
    actions: tuple[Action, ...] = ()


def check_returning(returning: Returning) -> None:
    """Raise UsageError for handlers that are no functions and for a maxactive that makes no sense."""
    for role, handler in (("handler", returning.handler), ("entry", returning.entry)):
        if handler is not None and not callable(handler):
            raise UsageError(f"{role} must be a function that takes the hit, not {handler!r}")
    if not 1 <= returning.maxactive <= MOST_ACTIVE:
        raise UsageError(f"maxactive is 1 to {MOST_ACTIVE} calls, not {returning.maxactive}")


def check_first(address: int, name: str, what: str, *, bounds: tuple[int, int] | None, read_word: ReadWord) -> None:
    """Raise Refused unless every call of a function executes the instruction at `address` first; `what` is for that."""
    if bounds is not None and bounds[0] != address:
        raise Refused(f"no {what} at {name}: that is not the first instruction of the function",
                      hint="name the function alone")  # fmt: skip
    word = read_word(address)
    if word is not None and decode(word).cond != ALWAYS:
        raise Refused(f"no {what} at {name}: its first instruction is conditional, "
                      "and a call that does not execute it would not be seen")  # fmt: skip


def check_entry(address: int, name: str, *, bounds: tuple[int, int] | None, read_word: ReadWord) -> None:
    """Raise Refused unless the instruction at `address` may be the entry of a return probe."""
    check_first(address, name, "return probe", bounds=bounds, read_word=read_word)
    if name.lstrip("_") in _RETURN_TWICE:
        raise Refused(f"no return probe at {name}: it returns more often than it is called")
    found = finds_out(read_word, address)
    if found is not None:
        raise Refused(
            f"no return probe at {name}: the function looks at its return address: "
            f"the instruction at 0x{found[0]:08x} {found[1]}",
            hint="put a probe on the instruction that returns",
        )
