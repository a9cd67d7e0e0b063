"""Where a live Linux kernel on ARM takes no probe, and why.

The sections are those that its own kprobes refuse (arch_within_kprobe_blacklist in arch/arm/probes/kprobes/core.c);
they have symbols of their own. Single words are known by what they look like.
"""

from __future__ import annotations

import re
import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

from armprobe.symbols.image import Symbol
from armprobe.symbols.kerneltables import CodeTables

#: [start, end), and why no probe goes there: completes "ADDRESS is ..."
Refusal = tuple[int, int, str]

NOINSTR = "code that the kernel marks as not to be probed (noinstr)"
NO_KPROBES = "code that the kernel marks as not to be probed (.kprobes.text)"
_SECTIONS = (
    ("__idmap_text_start", "__idmap_text_end", "code that runs while the memory management is switched on or off"),
    ("__entry_text_start", "__entry_text_end", "entry code, which runs before the kernel can take a fault"),
    ("__irqentry_text_start", "__irqentry_text_end", "entry code, which runs before the kernel can take a fault"),
    ("__noinstr_text_start", "__noinstr_text_end", NOINSTR),
    ("__kprobes_text_start", "__kprobes_text_end", NO_KPROBES),
    ("__proc_info_begin", "__proc_info_end", "data: what the kernel knows of processors"),
    ("_sinittext", "_einittext", "code of the start of the kernel, whose memory was given away since"),
)
#: what a processor runs when it starts or wakes up (arch/arm/kernel/head.S, sleep.S, hyp-stub.S, mm/proc-v7.S)
_MMU_OFF = re.compile(
    r"secondary_startup\w*|\w+_secondary_startup|secondary_trampoline|cpu_resume\w*|no_hyp|__hyp_stub_\w+|"
    r"(__)?lookup_processor_type\w*|__v\d\w*_setup|v7_invalidate_l1|relocate_new_kernel|mcpm_entry_point|__error\w*"
)
_WITHOUT_MMU = "code that runs while the memory management is off"
#: a process that is older than our slots has them mapped by these, at its first hit: arch/arm/mm/fault.c
_FAULT_PATH = ("do_DataAbort", "do_PrefetchAbort", "do_translation_fault", "do_bad_area", "fixup_exception")
_ON_FAULT_PATH = "on the way of the page fault that a process may take to reach a probe"
_VECTORS = (0xFFFF0000, 1 << 32, "an exception vector")
#: called by `push {lr}; bl`, in place of which stands `push {lr}; add sp, sp, #4` (or pop {lr}) while nobody traces
_TRACERS = ("__gnu_mcount_nc", "ftrace_caller", "ftrace_regs_caller")
_PUSH_LR, _POP_LR = 0xE52DE004, (0xE28DD004, 0xE8BD4000, 0xE49DE004)
_TRACED = "the place of a call of the function tracer, which the kernel may change (ftrace)"
JUMP_LABEL = "a no-op or branch that the kernel changes when it likes (a jump label)"
ACCESS = "an access that may fault, which the kernel mends by its address (exception table)"
_ZERO = "zero, which no compiler makes an instruction: a gap between the code"
_GAP = re.compile(rb"\0{4,}")
_SWITCH = "an address in the table of a switch, not an instruction"
_OWN_TRAP = "a probe of the kernel itself (a kprobe)"
OWN_BRANCH = "a branch out of the kernel's own code, as its optimized kprobes have"
_OUTSIDE = "outside of the kernel's own code"
_CONSTANT = "a constant that code loads, not an instruction"
_TAKEN = "at or behind a place whose address code takes (ADR), and may be a constant"
#: the trap of the kernel's own kprobes, whatever its condition (arch/arm/probes/kprobes/core.h)
_KPROBE = 0x07F001F8
_MAY_LOAD_CONSTANT = (0x01000000, 0x02000000, 0x05000000, 0x0D000000)
#: bytes that the kernel's code and what belongs to it take at most, and a function
IMAGE, _LONGEST_FUNCTION = 32 << 20, 1 << 16
_WORD = 4


def kernel_refusals(symbols: Iterable[Symbol], text: bytes, base: int, *, tables: CodeTables) -> list[Refusal]:
    """The places that take no probe, in ascending order and without overlap.

    `text` is the code of the kernel, at the address `base`.
    """
    symbols = list(symbols)
    known = {symbol.name: symbol for symbol in symbols}
    parts = [
        (known[start].address, known[end].address, reason)
        for start, end, reason in _SECTIONS
        if start in known and end in known
    ]
    parts += [
        (known[name].address, known[name].address + known[name].size, _ON_FAULT_PATH)
        for name in _FAULT_PATH
        if name in known
    ]
    parts += [(place, place + _WORD, JUMP_LABEL) for place in tables.jump_labels]
    parts += [(place, place + _WORD, ACCESS) for place in tables.accesses]
    tracers = {known[name].address for name in _TRACERS if name in known}
    begins = sorted({symbol.address for symbol in symbols} | {base + len(text)})
    for symbol in symbols:
        if _MMU_OFF.fullmatch(symbol.name):
            parts.append((symbol.address, begins[bisect_right(begins, symbol.address)], _WITHOUT_MMU))
    parts += refused_by_look(text, base, begins, tracers.__contains__)
    end = base + IMAGE
    parts += [(place, place + _WORD, OWN_BRANCH) for place, to in branches(text, base) if not base <= to < end]
    return without_overlap(parts)


def refused_by_look(
    text: bytes, base: int, begins: Sequence[int], is_tracer: Callable[[int], bool]
) -> Iterator[Refusal]:
    """Gaps between the code, and places known by what they, or others, look like.

    `begins` are the addresses that have names, and the end, ascending; `is_tracer` says whether a function that is
    called may be the function tracer.
    """
    for gap in _GAP.finditer(text):
        start, stop = gap.start() + _WORD - 1 & -_WORD, gap.end() & -_WORD
        yield base + start, base + max(start, stop), _ZERO
    for place, size, reason in _words(text, base, is_tracer):
        # How far what an ADR leads to goes is not known: to the next symbol at most.
        end = place + size if size else begins[bisect_right(begins, place)]
        yield place, end, reason


def outside(code: Iterable[tuple[int, int]]) -> list[Refusal]:
    """Refuse all but the code of the kernel and its modules, given as [start, end) without overlap."""
    parts = [_VECTORS]
    before = 0
    for start, end in [*sorted(code), _VECTORS[:2]]:
        if before < start:
            parts.append((before, start, _OUTSIDE))
        before = end
    return parts


def branches(text: bytes, base: int) -> Iterator[tuple[int, int]]:
    """The branches that are no calls: where they are, and where they lead."""
    for number, word in enumerate(_code(text)):
        if word & 0x0F000000 == 0x0A000000 and word >> 28 != 0xF:
            address = base + number * _WORD
            yield address, _leads(word, address)


def _code(text: bytes) -> array[int]:
    words = array("I", text[: len(text) & -_WORD])
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _words(text: bytes, base: int, is_tracer: Callable[[int], bool]) -> Iterator[tuple[int, int, str]]:
    """Places known by what they, or others, look like: address, bytes (0: not known), and the reason."""
    words = _code(text)
    end = base + len(words) * _WORD
    # There are millions: look closer only at those with PC as Rn or within an immediate, and push {lr}.
    chosen = [
        (number, word)
        for number, word in enumerate(words)
        if word & 0x000F0000 == 0x000F0000 or word & 0x0FFFFFFF == _KPROBE or word == _PUSH_LR
    ]
    for number, word in chosen:
        address = base + number * _WORD
        kind = word & 0x0F000000
        if word == _PUSH_LR:
            following = words[number + 1] if number + 1 < len(words) else 0
            called = _called(following, address + _WORD)
            if following in _POP_LR or (called is not None and is_tracer(called)):
                yield address + _WORD, _WORD, _TRACED
        elif kind in _MAY_LOAD_CONSTANT:
            constant = _constant(word)
            if constant is not None:
                offset, size = constant
                place = address + 8 + offset & -_WORD
                if base <= place < end:
                    yield place, size, _CONSTANT if size else _TAKEN
        elif kind == 0x07000000:
            if word & 0x0FFFFFF0 == 0x079FF100:
                for place in _switch(words, number, base):
                    yield place, _WORD, _SWITCH
            elif word & 0x0FFFFFFF == _KPROBE:
                yield address, _WORD, _OWN_TRAP


def _constant(word: int) -> tuple[int, int] | None:
    """Where a load relative to PC, or ADR, leads from there, and the bytes it loads, 0 for ADR; None for others.

    DDI 0406C A8.8.64 LDR, A8.8.73 LDRD, A8.8.333 VLDR, A8.8.12 ADR; each whatever its condition and register.
    """
    sign = 1 if word >> 23 & 1 else -1
    if word & 0x0F7F0000 == 0x051F0000:
        return sign * (word & 0xFFF), _WORD
    if word & 0x0F7F00F0 == 0x014F00D0:
        return sign * (word >> 4 & 0xF0 | word & 0xF), 2 * _WORD
    if word & 0x0F3F0E00 == 0x0D1F0A00:
        return sign * 4 * (word & 0xFF), 2 * _WORD if word & 0x100 else _WORD
    if word & 0x0FFF0000 in (0x028F0000, 0x024F0000):
        rotation = word >> 7 & 0x1E
        value = (word & 0xFF) << 32 >> rotation
        return (1 if word & 0x00800000 else -1) * ((value | value >> 32) & 0xFFFFFFFF), 0
    return None


def _switch(words: array[int], number: int, base: int) -> Iterator[int]:
    """The table behind `ldr pc, [pc, Rm, lsl #2]` and the way of the default: addresses of code nearby."""
    address = base + number * _WORD
    for entry in range(number + 2, len(words)):
        if words[entry] & 3 or abs(words[entry] - address) > _LONGEST_FUNCTION:
            return
        yield base + entry * _WORD


def _called(word: int, address: int) -> int | None:
    """Where `bl` leads; None for another instruction."""
    return _leads(word, address) if word >> 24 == 0xEB else None


def _leads(word: int, address: int) -> int:
    offset = (word & 0xFFFFFF) - ((word & 0x800000) << 1)
    return address + 8 + offset * _WORD & 0xFFFFFFFF


def without_overlap(parts: Iterable[Refusal]) -> list[Refusal]:
    """Sorted; where parts overlap, the one that begins first, and of these the longest, gives the reason."""
    result: list[Refusal] = []
    for start, end, reason in sorted(parts, key=lambda part: (part[0], -part[1])):
        fresh = max(start, result[-1][1]) if result else start
        if fresh < end:
            result.append((fresh, end, reason))
    return result
