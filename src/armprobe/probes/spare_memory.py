"""Memory of a target that may be spare: what speaks against it. That nobody will use it, nobody can prove."""

from __future__ import annotations

from armprobe.errors import TargetFault
from armprobe.probes.sleepers import writable_memory
from armprobe.probes.word_search import find_words_in
from armprobe.symbols.image import Image
from armprobe.targets.base import Region, Target

_WORD = 4
#: bytes below SP that a stack may grow into
_STACK = 0x10000


def why_not_spare(target: Target, image: Image, region: Region) -> str:
    """Why the memory can't be taken, or is used by the program as it stands; empty when nothing speaks against it.

    It has to hold one value everywhere, no register and no word of the program may point there, and its first and last
    word have to keep what is written to them; they are as before afterwards.
    """
    try:
        data = target.read_memory(region.start, region.end - region.start)
    except TargetFault as error:
        return f"it can't be read: {error.message}"
    if data != data[:_WORD] * (len(data) // _WORD):
        return "it holds data"
    registers = target.read_registers()
    if any(value in region for value in registers.values):
        return "a register points there"
    if region.end <= registers.sp < region.end + _STACK:
        return f"the stack, now at 0x{registers.sp:08x}, may grow into it"
    spans = [(part.address, part.end) for part in image.segments if not part.writable]
    spans += writable_memory(target, image).spans
    pointers = find_words_in(target, spans, range(region.start, region.end))
    pointer = next((address for address, _ in pointers if address not in region), None)
    if pointer is not None:
        return f"the word at 0x{pointer:08x} points there"
    return _why_not_kept(target, (region.start, region.end - _WORD), data[:_WORD])


def _why_not_kept(target: Target, places: tuple[int, int], value: bytes) -> str:
    other = bytes(byte ^ 0xFF for byte in value)
    for place in places:
        try:
            try:
                target.write_memory(place, other)
                kept = target.read_memory(place, _WORD) == other
            finally:
                target.write_memory(place, value)
        except TargetFault as error:
            return f"it can't be written: {error.message}"
        if not kept:
            return f"it does not keep what is written to 0x{place:08x}"
    return ""
