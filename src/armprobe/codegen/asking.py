"""Target code that asks the host, and goes on with the registers of the answer: for programs that share memory with it.

A routine does it, one for all places that ask. Signals wait meanwhile, as they do while a program is stopped, so that
no handler of the program leaves it by longjmp. A child that the program forked has no host: there, nobody is asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from armprobe.codegen.assembler import LR, PC, SP, Assembler, Code, Label
from armprobe.targets.mailboxlayout import (
    ASKED,
    CALLS,
    CONTENT,
    CPSR,
    DECLINED,
    ENTRY_SIZE,
    FREE,
    MASK,
    PROCESS,
    SLEEPS,
    STATES,
    STORES,
    TAKEN,
    THREAD,
    TIME,
    WAITS,
    WORK,
    WORK_ARGUMENTS,
)

#: system calls (arch/arm/tools/syscall.tbl) and their arguments
_GETPID, _NANOSLEEP, _SIGPROCMASK, _FUTEX = 20, 162, 175, 240
_SIG_SETMASK, _MASK_SIZE = 2, 8
_FUTEX_WAIT, _FUTEX_WAKE = 0, 1
_EQ, _NE = 0, 1
_R0, _R1, _R2, _R3, _R4, _R5, _R6, _R7, _R8, _R9, _R10 = range(11)
_SAVED = (*range(13), LR)
#: the stack meanwhile: the program's mask of signals, what was pushed, LR of the program and the point that asked
_PUSHED = _MASK_SIZE
_LINKS = _PUSHED + 4 * len(_SAVED)
_FRAME = _LINKS + 8
#: where what was pushed has the address that the routine comes back to
_RETURN = 4 * _SAVED.index(LR)
#: `mrc p15, 0, r0, c13, c0, 3`
_READ_THREAD = 0xEE1D0F70
#: `udf #0`
_UNDEFINED = 0xE7F000F0
#: where the routine begins, from the start of the code
ROUTINE = 20
#: where it begins for those who have left the point themselves
_AFTER_LINK = 4


@dataclass(frozen=True, slots=True)
class Question:
    """What code asks by: the address of the routine, and that of a counter of hits that nobody answers for, or 0.

    `first`: a handler is wanted before the instruction at the site, not only after it.
    """

    routine: int
    unanswered: int = 0
    first: bool = True


def emit_ask(asm: Assembler, question: Question, *, counts: bool = True) -> None:
    """Ask the host, which decides where the program goes on; control comes to what follows when there is none."""
    asm.push_below(LR, 8, "ask the host")
    _emit_call_of(asm, question.routine, question.unanswered if counts else 0)
    asm.pop_above(LR, 8, "there is none")


def emit_ask_at_pad(asm: Assembler, question: Question) -> None:
    """Ask the host in the code of pads, with room on the stack as in `emit_ask`; LR is as before."""
    asm.str_(LR, SP, 4, "the pad that asks")
    _emit_call_of(asm, question.routine + _AFTER_LINK, question.unanswered)
    asm.ldr(LR, SP, 4)


def _emit_call_of(asm: Assembler, routine: int, unanswered: int) -> None:
    asm.call(routine, "ask the host")
    asm.word(unanswered, "counts when there is none", data=True)


def build_asking(base: int, mailbox: int, *, architecture: int) -> Code:
    """Assemble the routine that `emit_ask` calls, with the mailbox at `mailbox`. Architecture 6 and later.

    It begins at ROUTINE. Before that stands code that asks: it is where a function returns to that the host has called.
    """
    asm = Assembler(base, architecture=architecture)
    with asm.exactly(ROUTINE):
        emit_ask(asm, Question(base + ROUTINE))
        asm.word(_UNDEFINED, "in a child that was forked by such a function")
    alone, again, following, mine, declined = (Label(name) for name in (
        "nobody is asked", "look for a free entry", "the next entry", "an entry is taken", "as it came"))  # fmt: skip
    asm.str_(LR, SP, 4, "the point that asks")
    asm.push(_SAVED)
    asm.mrs(_R4)
    asm.emit_constant(_R5, mailbox, "the mailbox")
    _emit_call(asm, _GETPID, "getpid")
    asm.ldr(_R1, _R5, PROCESS)
    asm.cmp(_R0, _R1)
    asm.b(alone, "a child", cond=_NE)
    asm.sub_imm(SP, SP, _MASK_SIZE)
    asm.add_imm(_R1, _R5, MASK)
    asm.mov(_R2, SP)
    _emit_mask(asm, "signals wait")
    asm.bind(again)
    asm.add_imm(_R8, _R5, STATES)
    asm.add_imm(_R9, _R5, CONTENT)
    asm.bind(following)
    asm.ldrex(_R0, _R8, "free?")
    asm.cmp_imm(_R0, FREE)
    occupied = Label("this entry is occupied")
    asm.b(occupied, cond=_NE)
    asm.mov_imm(_R1, TAKEN)
    asm.strex(_R2, _R1, _R8)
    asm.cmp_imm(_R2, 0)
    asm.b(mine, cond=_EQ)
    asm.b(following)
    asm.bind(occupied)
    asm.add_imm(_R8, _R8, 4)
    asm.cmp(_R8, _R9)
    asm.b(following, cond=_NE)
    asm.add_imm(_R0, _R5, TIME)
    asm.mov_imm(_R1, 0)
    _emit_call(asm, _NANOSLEEP, "all are occupied: nanosleep")
    asm.b(again)
    asm.bind(mine)
    asm.sub(_R6, _R8, _R5)
    asm.sub_imm(_R6, _R6, STATES)
    asm.add_shifted(_R6, _R5, _R6, (ENTRY_SIZE // 4).bit_length() - 1)
    asm.add_imm(_R6, _R6, CONTENT, "its content")
    for number in range(13):
        asm.ldr(_R0, SP, _PUSHED + 4 * number)
        asm.str_(_R0, _R6, 4 * number)
    asm.add_imm(_R0, SP, _FRAME)
    asm.str_(_R0, _R6, 4 * SP)
    for number, offset in ((LR, _LINKS), (PC, _LINKS + 4)):
        asm.ldr(_R0, SP, offset)
        asm.str_(_R0, _R6, 4 * number)
    asm.str_(_R4, _R6, CPSR)
    if architecture > 6:
        asm.word(_READ_THREAD, "TPIDRURO")
        asm.str_(_R0, _R6, THREAD)
    asm.barrier("the content before the state")
    asm.mov_imm(_R0, WAITS)
    asm.str_(_R0, _R8)
    asm.barrier("the state before what tells of it")
    _emit_tell(asm)
    _emit_wait(asm)
    asm.barrier("the state before the content")
    asm.cmp_imm(_R2, DECLINED)
    asm.b(declined, cond=_EQ)
    _emit_take(asm, {number: _PUSHED + 4 * number for number in range(16)})
    _emit_give_back(asm)
    asm.msr_flags(_R4, ge=True)
    asm.add_imm(SP, SP, _MASK_SIZE)
    asm.ldm(SP, range(16), "on with the answer")
    asm.bind(declined)
    _emit_take(asm, {number: _PUSHED + 4 * number for number in range(13)} | {LR: _LINKS})
    _emit_give_back(asm)
    asm.add_imm(SP, SP, _MASK_SIZE)
    on = Label("go on")
    _emit_pass_counter(asm)
    asm.b(on)
    asm.bind(alone)
    _emit_pass_counter(asm)
    asm.cmp_imm(_R1, 0)
    asm.b(on, "nothing is counted", cond=_EQ)
    _emit_count(asm)
    asm.bind(on)
    asm.msr_flags(_R4, ge=True)
    asm.pop(_SAVED)
    asm.bx(LR)
    return asm.finish()


def _emit_call(asm: Assembler, number: int, name: str) -> None:
    asm.mov_imm(_R7, number)
    asm.svc(name)


def _emit_mask(asm: Assembler, why: str) -> None:
    """Set the mask of signals to that at r1, and keep the old one at r2 unless that is 0."""
    asm.mov_imm(_R0, _SIG_SETMASK)
    asm.mov_imm(_R3, _MASK_SIZE)
    _emit_call(asm, _SIGPROCMASK, f"rt_sigprocmask: {why}")


def _emit_tell(asm: Assembler) -> None:
    """Count one more thread that asked, and wake the host where it sleeps."""
    awake = Label("the host is awake")
    asm.add_imm(_R1, _R5, ASKED)
    _emit_count(asm)
    asm.barrier("the count before a look at the host")
    asm.mov(_R0, _R1)
    asm.ldr(_R1, _R5, SLEEPS)
    asm.cmp_imm(_R1, 0)
    asm.b(awake, cond=_EQ)
    asm.mov_imm(_R1, _FUTEX_WAKE)
    asm.mov_imm(_R2, 1)
    _emit_call(asm, _FUTEX, "futex: wake the host")
    asm.bind(awake)


def _emit_count(asm: Assembler) -> None:
    """Add one to the word at r1."""
    again = Label("count")
    asm.bind(again)
    asm.ldrex(_R2, _R1)
    asm.add_imm(_R2, _R2, 1)
    asm.strex(_R3, _R2, _R1)
    asm.cmp_imm(_R3, 0)
    asm.b(again, cond=_NE)


def _emit_pass_counter(asm: Assembler) -> None:
    """Let control come back behind the address of the counter, which is in r1 then."""
    asm.ldr(_R0, SP, _RETURN)
    asm.ldr(_R1, _R0)
    asm.add_imm(_R0, _R0, 4)
    asm.str_(_R0, SP, _RETURN)


def _emit_wait(asm: Assembler) -> None:
    """Sleep until the host has answered, and do what it wants done meanwhile; the state at r8 is in r2 then."""
    again, awake, calls, stores, following, worked, out = (Label(name) for name in (
        "wait", "the host wants something", "a system call", "stores", "the next word", "that is done",
        "the host has answered"))  # fmt: skip
    asm.bind(again)
    asm.ldr(_R2, _R8)
    asm.cmp_imm(_R2, WAITS)
    asm.b(awake, cond=_NE)
    asm.mov(_R0, _R8)
    asm.mov_imm(_R1, _FUTEX_WAIT)
    asm.mov_imm(_R3, 0)
    _emit_call(asm, _FUTEX, "futex: sleep")
    asm.b(again)
    asm.bind(awake)
    asm.barrier("the state before what is wanted")
    asm.cmp_imm(_R2, CALLS)
    asm.b(calls, cond=_EQ)
    asm.cmp_imm(_R2, STORES)
    asm.b(stores, cond=_EQ)
    asm.b(out)
    asm.bind(calls)
    asm.mov(_R9, _R4)
    asm.mov(_R10, _R5)
    asm.ldr(_R7, _R6, WORK)
    for number in range(WORK_ARGUMENTS):
        asm.ldr(number, _R6, WORK + 4 + 4 * number)
    asm.svc("for the host")
    asm.mov(_R4, _R9)
    asm.mov(_R5, _R10)
    asm.str_(_R0, _R6, WORK)
    asm.b(worked)
    asm.bind(stores)
    asm.ldr(_R0, _R6, WORK)
    asm.ldr(_R1, _R6, WORK + 4)
    asm.ldr(_R2, _R6, WORK + 8)
    asm.bind(following)
    asm.ldr(_R3, _R2)
    asm.str_(_R3, _R0)
    asm.add_imm(_R2, _R2, 4)
    asm.add_imm(_R0, _R0, 4)
    asm.cmp(_R0, _R1)
    asm.b(following, cond=_NE)
    asm.bind(worked)
    asm.barrier("what was done before the state")
    asm.mov_imm(_R0, WAITS)
    asm.str_(_R0, _R8)
    asm.barrier("the state before what tells of it")
    _emit_tell(asm)
    asm.b(again)
    asm.bind(out)


def _emit_take(asm: Assembler, places: dict[int, int]) -> None:
    """Take registers of the answer to their places above SP, and CPSR to r4."""
    for number, offset in places.items():
        asm.ldr(_R0, _R6, 4 * number)
        asm.str_(_R0, SP, offset)
    asm.ldr(_R4, _R6, CPSR)


def _emit_give_back(asm: Assembler) -> None:
    """Let others have the entry, and signals come in."""
    asm.barrier("the content before the state")
    asm.mov_imm(_R0, FREE)
    asm.str_(_R0, _R8)
    asm.mov(_R1, SP)
    asm.mov_imm(_R2, 0)
    _emit_mask(asm, "signals come in")
