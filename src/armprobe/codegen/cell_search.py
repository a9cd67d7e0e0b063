"""Target code that searches cells one after another, from a first one on and around the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from armprobe.codegen.ir import Lines


@dataclass(frozen=True, slots=True)
class Search:
    """A search that has begun: `here` is the number of the cell at hand, and `onward` the label that leads to the next.
    `taken` are the steps that it took so far.

    `close` emits the code of `onward`, once the cell at hand was looked at.
    """

    here: str
    onward: str
    taken: str
    close: Callable[[], None]


def begin_search(ir: Lines, index: str, *, size: int, steps: int | str, none: str) -> Search:
    """Look at up to `steps` of `size` cells, from the one whose number is in `index` on; go to `none` after the last.

    `steps` is a number, or a value that is not 0.

    `index` keeps the number of the cell at hand.
    """
    taken, look, onward = ir.variable("i32"), ir.label(), ir.label()
    ir.line(f"store i32 0, ptr {taken}")
    ir.jump(look)
    ir.begin(look)
    here, so_far = ir.value(f"load i32, ptr {index}"), ir.value(f"load i32, ptr {taken}")

    def close() -> None:
        again = ir.label()
        ir.begin(onward)
        following = ir.value(f"add i32 {here}, 1")
        around = ir.value(f"icmp eq i32 {following}, {size}")
        ir.line(f"store i32 {ir.value(f'select i1 {around}, i32 0, i32 {following}')}, ptr {index}")
        step = ir.value(f"add i32 {so_far}, 1")
        ir.line(f"store i32 {step}, ptr {taken}")
        ir.branch(ir.value(f"icmp eq i32 {step}, {steps}"), none, again)
        ir.begin(again)
        ir.jump(look)

    return Search(here, onward, so_far, close)
