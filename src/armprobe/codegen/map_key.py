"""Target code that makes the words of keys out of strings: zeros stand behind the end of each."""

from __future__ import annotations

from armprobe.codegen import memory
from armprobe.codegen.ir import Lines
from armprobe.codegen.memory import Readable


def known_text_words(ir: Lines, address: str, size: int, words: int) -> list[str]:
    """So many words of a string that is `size` bytes with zeros behind its end, which can be read, from a word on."""
    pointer = ir.value(f"inttoptr i32 {address} to ptr")
    return [
        ir.value(f"load volatile i32, ptr {ir.offset(pointer, 4 * number)}, align 4") if 4 * number < size else "0"
        for number in range(words)
    ]


def text_words(ir: Lines, address: str, readable: Readable, words: int, fault: str) -> list[str]:
    """So many words of the string at `address`; go to `fault` where it can't be read."""
    length = memory.measure(ir, address, readable, 4 * words, fault)
    # Up to the end of the last word there may come anything from behind the string. Volatile: no call of memset.
    kept, copied = ir.variable(f"[{words + 1} x i32]"), ir.label()
    for number in range(words):
        ir.line(f"store volatile i32 0, ptr {ir.offset(kept, 4 * number)}, align 4")
    ir.branch(memory.copy(ir, address, kept, length, readable), copied, fault)
    ir.begin(copied)
    for number in range(3):
        ir.line(f"store i8 0, ptr {ir.offset(ir.offset(kept, length), number)}, align 1")
    return [ir.value(f"load i32, ptr {ir.offset(kept, 4 * number)}, align 4") for number in range(words)]
