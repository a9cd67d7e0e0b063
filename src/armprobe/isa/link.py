"""What a function does with its return address before it writes LR: keep it, return by it, or compute with it."""

from __future__ import annotations

from armprobe.errors import Refused
from armprobe.isa.decoder import decode
from armprobe.isa.flow import ReadWord, flow
from armprobe.isa.insn import ALWAYS, Insn

SP, LR = 13, 14
#: instructions looked at; a function that saves LR does so much earlier
_LIMIT = 1024


def finds_out(read_word: ReadWord, entry: int) -> tuple[int, str] | None:
    """Find an instruction for which it matters what the return address of the function at `entry` is.

    Returns its address and what it does: it computes with LR, loads or stores relative to it, calls through it, or
    returns from an exception. None: on all paths LR is stored, copied, returned by, or written first; for LR that was
    pushed, a conditional write is one: it is a register like any other then. What happens to copies is not followed,
    nor paths through calls, indirect branches and words that `read_word` does not give.
    """
    seen: set[tuple[int, bool]] = set()
    waiting = [(entry, False)]
    while waiting and len(seen) < _LIMIT:
        address, pushed = waiting.pop()
        word = read_word(address)
        if (address, pushed) in seen or word is None:
            continue
        seen.add((address, pushed))
        try:
            insn = decode(word)
        except Refused:
            continue
        use = _use(insn)
        if use:
            return address, use
        usage = insn.usage
        if usage.writes >> LR & 1 and (pushed or insn.cond == ALWAYS):
            continue
        pushed |= bool(usage.stores and insn.cond == ALWAYS and usage.writes >> SP & usage.reads >> LR & 1)
        way = flow(insn, address)
        if way.next is not None and not way.call:
            waiting.append((way.next, pushed))
        if way.target is not None and not way.call:
            waiting.append((way.target, pushed))
    return None


def _use(insn: Insn) -> str:
    if "exception_return" in insn.row.effects:
        return "returns from an exception"
    if not insn.usage.reads >> LR & 1 or insn.row.reads is None:
        return ""
    fields, usage = insn.fields, insn.usage
    if usage.loads or usage.stores:
        return "accesses memory relative to lr" if LR in (fields.get("Rn"), fields.get("Rm")) else ""
    if insn.row.name in ("BX_A1", "BXJ_A1"):
        return ""
    if insn.row.name == "MOV_register_A1" and not (fields["imm5"] or fields["type"]):
        return ""
    return "calls through lr" if insn.writes_pc and flow(insn, 0).call else "computes with lr"
