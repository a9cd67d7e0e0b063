"""Where a module of a live Linux kernel takes no probe, and why: what holds for the kernel itself, by its sections."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from armprobe.errors import Refused
from armprobe.symbols.kernellimits import (
    ACCESS,
    JUMP_LABEL,
    NO_KPROBES,
    NOINSTR,
    Refusal,
    branches,
    refused_by_look,
    without_overlap,
)
from armprobe.symbols.kernelmodules import ACCESSES, JUMP_LABELS, MOST_TABLE, NOT_TO_BE_PROBED, KernelModule

_CODE = re.compile(r"\.(text|init\.text|exit\.text|ref\.text|text\..+)")
_VENEER = "a veneer, by which the module gets to code that is far away (PLT)"
_OTHERS = {
    ".plt": _VENEER,
    ".init.plt": _VENEER,
    ".noinstr.text": NOINSTR,
    ".kprobes.text": NO_KPROBES,
}
_BLACKLISTED = "in a function that the module marks as not to be probed (NOKPROBE_SYMBOL)"
_WORD = 4


@dataclass(frozen=True, slots=True)
class ModuleLimits:
    """The places in a module's code that take no probe, as `kernel_refusals` has them, and its jump labels.

    `leaving` are branches that leave the module, with where they lead: a kprobe of the kernel may have put one there.
    """

    refused: Sequence[Refusal]
    jump_labels: Sequence[int]
    leaving: Sequence[tuple[int, int]]


def module_limits(module: KernelModule) -> ModuleLimits:
    """Find out where the module takes no probe. Raises Refused when one of its tables is not certain."""
    parts: list[Refusal] = []
    done = module.start
    for section in module.code_sections:
        parts.append((done, section.start, "in no section of the module"))
        if not _CODE.fullmatch(section.name):
            reason = _OTHERS.get(section.name, f"in the section {section.name} of the module, which may be no code")
            parts.append((section.start, section.end, reason))
        done = section.end
    parts.append((done, module.end, "in no section of the module"))
    labels = [place for place, _, _ in _entries(module, JUMP_LABELS, 3)]
    parts += [(place, place + _WORD, JUMP_LABEL) for place in labels]
    parts += [(place, place + _WORD, ACCESS) for place, _ in _entries(module, ACCESSES, 2)]
    for (place,) in _entries(module, NOT_TO_BE_PROBED, 1):
        size = max((symbol.size for symbol in module.symbols if symbol.address == place), default=0)
        parts.append((place, place + max(size, _WORD), _BLACKLISTED))
    begins = sorted({symbol.address for symbol in module.symbols} | {section.end for section in module.code_sections})
    # Whatever is called right behind a push of LR: the tracer may be far away.
    parts += refused_by_look(module.code, module.start, [*begins, module.end], lambda _called: True)
    leaving = [(place, to) for place, to in branches(module.code, module.start) if not module.start <= to < module.end]
    return ModuleLimits(without_overlap(part for part in parts if part[0] < part[1]), labels, leaving)


def _entries(module: KernelModule, table: str, words: int) -> Iterator[tuple[int, ...]]:
    """The entries of a table that begin with a place in the module's code, or in that of its start: which is looked at.

    Behind the table are zeros, or the next section.
    """
    data = module.data.get(table, b"")
    for entry in struct.iter_unpack(f"<{words}I", data[: len(data) // (words * _WORD) * (words * _WORD)]):
        if not entry[0]:
            return
        if any(word % _WORD for word in entry[:2]):
            raise Refused(f"the section {table} of the module {module.name} holds something else than it should")
        if module.start <= entry[0] < module.end:
            yield entry
    if len(data) == MOST_TABLE:
        raise Refused(f"the section {table} of the module {module.name} is too large")
