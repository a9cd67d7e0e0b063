"""Collects the lines of one function in LLVM's language. Methods that return a string return the name of a value."""

from __future__ import annotations

from itertools import count

#: of all functions; memory at 0 is memory like any other
ATTRIBUTES = 'nounwind null_pointer_is_valid "no-jump-tables"="true"'


class Lines:
    """The lines of a function so far, the variables of its entry and the symbols that it uses."""

    def __init__(self, *, atomic: bool) -> None:
        #: whether several CPUs, or interrupt handlers, may run it at once
        self.atomic = atomic
        self.lines: list[str] = []
        self.entry: list[str] = []
        self.globals: dict[str, str] = {}
        self.declarations: set[str] = set()
        #: texts that intrinsics are given, by their number
        self.texts: list[str] = []
        self._names = count()

    def line(self, line: str) -> None:
        self.lines.append(line)

    def value(self, expression: str) -> str:
        name = f"%v{next(self._names)}"
        self.line(f"{name} = {expression}")
        return name

    def label(self) -> str:
        return f"l{next(self._names)}"

    def begin(self, label: str) -> None:
        """Start a block: control gets there by branches only."""
        self.line(f"{label}:")

    def jump(self, label: str) -> None:
        self.line(f"br label %{label}")

    def branch(self, condition: str, yes: str, no: str, *, rare: bool = False) -> None:
        """Go on at one of two labels; `rare`: `yes` is not expected."""
        self.line(f"br i1 {condition}, label %{yes}, label %{no}" + (", !prof !0" if rare else ""))

    def variable(self, kind: str, start: str | None = None) -> str:
        """A pointer to a new variable, made at the entry; `start` is what it holds there."""
        name = f"%v{next(self._names)}"
        self.entry.append(f"{name} = alloca {kind}")
        if start is not None:
            self.entry.append(f"store {kind} {start}, ptr {name}")
        return name

    def add(self, pointer: str, amount: str = "1", *, bits: int = 32) -> None:
        """Add to a word in memory, aligned to its size."""
        if self.atomic:
            self.value(f"atomicrmw add ptr {pointer}, i{bits} {amount} monotonic")
        else:
            # Volatile: two actions may know one place by two symbols, which the compiler takes for two places.
            align = bits // 8
            old = self.value(f"load volatile i{bits}, ptr {pointer}, align {align}")
            new = self.value(f"add i{bits} {old}, {amount}")
            self.line(f"store volatile i{bits} {new}, ptr {pointer}, align {align}")

    def put(self, pointer: str, value: str, *, bits: int = 32) -> None:
        """Replace a word in memory, aligned to its size, as a whole."""
        if self.atomic:
            self.value(f"atomicrmw xchg ptr {pointer}, i{bits} {value} monotonic")
        else:
            self.line(f"store volatile i{bits} {value}, ptr {pointer}, align {bits // 8}")

    def get(self, pointer: str, *, bits: int = 32) -> str:
        """Read a word in memory, aligned to its size, as a whole."""
        if self.atomic:
            # A load-exclusive without its store would be taken for that of the program that was interrupted.
            return self.value(f"atomicrmw or ptr {pointer}, i{bits} 0 monotonic")
        return self.value(f"load volatile i{bits}, ptr {pointer}, align {bits // 8}")

    def offset(self, pointer: str, offset: int | str) -> str:
        return self.value(f"getelementptr i8, ptr {pointer}, i32 {offset}")

    def symbol(self, symbol: str, kind: str = "i32", align: int = 4) -> str:
        """A pointer to a place outside, known when the body is linked."""
        self.globals[symbol] = f"external global {kind}, align {align}"
        return f"@{symbol}"

    def declare(self, signature: str) -> None:
        """Declare an intrinsic."""
        self.declarations.add(signature)

    def metadata(self, text: str) -> int:
        """The number of the metadata node that holds a text, as the name of a register; 0 is that of `rare`."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1

    def number(self, symbol: str) -> str:
        """A symbol as a number: weak, because the compiler takes any other to be no zero."""
        self.globals[symbol] = "extern_weak global i8, align 1"
        return self.value(f"ptrtoint ptr @{symbol} to i32")
