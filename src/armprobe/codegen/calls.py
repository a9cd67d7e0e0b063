"""The table of calls that a return probe follows, and the target code that enters and leaves it.

A table is a word with the number of the first free pad (0: none; the upper half counts changes, against ABA), a word
that is free, and for each pad, from number 1 on, an entry of two words: the number of the next free pad, TAKEN or
SILENT; and the return address of the call. Pads are as far from one another as entries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from armprobe.codegen.ir import Lines

ENTRY = 8
MOST = 0xFFFF
#: states of an entry whose call is in progress: to be handled at its return, or not any more
TAKEN, SILENT = 0xFFFFFFFF, 0xFFFFFFFE
_CHANGE = 0x10000


@dataclass(frozen=True, slots=True)
class Return:
    """What code at a return knows: the registers whose values at the return are not where they were."""

    #: the offset of the entry in the table, in bytes, and its address
    offset: str
    entry: str
    lr: str
    sp: str
    #: the return address, without the bit that says Thumb
    pc: str


def follow_call(
    ir: Lines, link: str, *, calls: str, pads: str, missed: str, size: int, keep: Callable[[str], None]
) -> str:
    """Take a pad for a call whose return address is at `link`, and put the pad there.

    A return address that is one of these pads stays: a function jumped to its own first instruction. `calls`, `pads`
    and `missed`, a counter, are symbols. `keep` is called to emit what has to happen with the call: it is given the
    offset of its entry in the table, in bytes.

    Returns an i1: there was no pad for the n-th time, and n is a power of two.
    """
    table, first = ir.symbol(calls, "[2 x i32]", 8), ir.number(pads)
    wanted = ir.variable("i1", "false")
    fresh, again, some, mine, none, out = (ir.label() for _ in range(6))
    back = ir.value(f"load i32, ptr {link}")
    own = ir.value(f"icmp ult i32 {ir.value(f'sub i32 {back}, {first}')}, {ENTRY * size}")
    ir.branch(own, out, fresh, rare=True)
    ir.begin(fresh)
    ir.jump(again)
    ir.begin(again)
    head = ir.value(f"load volatile i32, ptr {table}, align 8")
    number = _number(ir, head)
    ir.branch(ir.value(f"icmp eq i32 {number}, 0"), none, some, rare=True)
    ir.begin(some)
    offset = ir.value(f"mul i32 {number}, {ENTRY}")
    entry = ir.offset(table, offset)
    following = ir.value(f"load volatile i32, ptr {entry}")
    _change_head(ir, table, head, following, again, mine)
    ir.begin(mine)
    ir.line(f"store volatile i32 {back}, ptr {ir.offset(entry, 4)}")
    ir.line(f"store volatile i32 {TAKEN}, ptr {entry}")
    pad = ir.value(f"add i32 {first}, {ir.value(f'sub i32 {offset}, {ENTRY}')}")
    ir.line(f"store i32 {pad}, ptr {link}")
    keep(offset)
    ir.jump(out)
    ir.begin(none)
    misses = ir.symbol(missed)
    before = ir.value(f"load volatile i32, ptr {misses}")
    ir.add(misses)
    power = ir.value(f"and i32 {before}, {ir.value(f'add i32 {before}, 1')}")
    ir.line(f"store i1 {ir.value(f'icmp eq i32 {power}, 0')}, ptr {wanted}")
    ir.jump(out)
    ir.begin(out)
    return ir.value(f"load i1, ptr {wanted}")


def kept_of_call(ir: Lines, calls: str, offset: str, size: int, kept: int) -> str:
    """A pointer to the `kept` bytes, a multiple of ENTRY, that are kept of the call with the entry at `offset`.

    They stand behind the table, which has `size` pads.
    """
    area = ir.offset(
        ir.symbol(calls, "[2 x i32]", 8), offset if kept <= ENTRY else ir.value(f"mul i32 {offset}, {kept // ENTRY}")
    )
    return ir.offset(area, ENTRY * (size + 1))


def come_back(ir: Lines, *, calls: str, pads: str, sp: str, lr: str) -> Return:
    """Find the entry of a call that came back, and say where it goes on.

    `lr` is the address behind the pad; `sp` points to two words: LR as the function left it, in which the pad is
    replaced by the return address, and one that gets the return address.
    """
    table, first = ir.symbol(calls, "[2 x i32]", 8), ir.number(pads)
    offset = ir.value(f"sub i32 {lr}, {first}")
    entry = ir.offset(table, offset)
    back = ir.value(f"load volatile i32, ptr {ir.offset(entry, 4)}")
    area = ir.value(f"inttoptr i32 {sp} to ptr")
    left = ir.value(f"load volatile i32, ptr {area}")
    own = ir.value(f"icmp eq i32 {left}, {ir.value(f'sub i32 {lr}, {ENTRY}')}")
    now = ir.value(f"select i1 {own}, i32 {back}, i32 {left}")
    ir.line(f"store volatile i32 {now}, ptr {area}")
    ir.line(f"store volatile i32 {back}, ptr {ir.offset(area, 4)}")
    return Return(offset, entry, now, ir.value(f"add i32 {sp}, 8"), ir.value(f"and i32 {back}, -2"))


def give_back(ir: Lines, calls: str, returned: Return) -> None:
    """Make the pad of a call that came back free."""
    table = ir.symbol(calls, "[2 x i32]", 8)
    number = ir.value(f"lshr i32 {returned.offset}, 3")
    again, done = ir.label(), ir.label()
    ir.jump(again)
    ir.begin(again)
    head = ir.value(f"load volatile i32, ptr {table}, align 8")
    ir.line(f"store volatile i32 {_number(ir, head)}, ptr {returned.entry}")
    _change_head(ir, table, head, number, again, done)
    ir.begin(done)


def _number(ir: Lines, head: str) -> str:
    """The number of the first free pad. Without atomic changes, nobody counts them."""
    return ir.value(f"and i32 {head}, {MOST}") if ir.atomic else head


def _change_head(ir: Lines, table: str, head: str, number: str, again: str, done: str) -> None:
    """Make `number` the first free pad and go to `done`; to `again` when the head is `head` no longer."""
    if not ir.atomic:
        ir.line(f"store volatile i32 {number}, ptr {table}, align 8")
        ir.jump(done)
        return
    count = ir.value(f"and i32 {ir.value(f'add i32 {head}, {_CHANGE}')}, {~MOST & 0xFFFFFFFF}")
    new = ir.value(f"or i32 {count}, {number}")
    pair = ir.value(f"cmpxchg weak ptr {table}, i32 {head}, i32 {new} acq_rel monotonic")
    ir.branch(ir.value(f"extractvalue {{ i32, i1 }} {pair}, 1"), done, again)
