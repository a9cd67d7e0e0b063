"""Programs as they lie in files: ELF, raw binaries, a few instruction words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from armprobe.errors import UsageError

if TYPE_CHECKING:
    from armprobe.symbols.debuginfo import DebugInfo


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the program in memory: `data`, then zeros up to `size` bytes."""

    address: int
    data: bytes
    size: int
    writable: bool = True
    executable: bool = True

    @property
    def end(self) -> int:
        return self.address + self.size


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name for `size` bytes at `address` (0: unknown). `thumb` functions have bit 0 of their address cleared here."""

    name: str
    address: int
    size: int = 0
    thumb: bool = False
    function: bool = True


@dataclass(frozen=True, slots=True)
class Image:
    """A program: what to load where, where to start, what its addresses are called.

    `marks` are the mapping symbols (AAELF32 5.5.5), sorted: from each address on there is A32 code ("a"), T32 code
    ("t") or data ("d"). Bit 0 of `entry` set: it starts in T32 state.
    """

    name: str
    entry: int
    segments: tuple[Segment, ...]
    symbols: tuple[Symbol, ...] = ()
    marks: tuple[tuple[int, str], ...] = ()
    #: the debug information of the file, if it has any; it moves with the image
    debug: tuple[DebugInfo, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def from_bytes(cls, data: bytes, *, base: int, name: str = "snippet") -> Image:
        """Make an image of bytes that are loaded, and start, at `base`."""
        if base % 4 or not 0 <= base <= (1 << 32) - len(data):
            raise UsageError(
                f"{name}: {len(data)} bytes cannot lie at {base:#x}: wanted a multiple of 4 within 32 bits"
            )
        return cls(name, base, (Segment(base, bytes(data), len(data)),))

    @classmethod
    def from_words(cls, words: Iterable[int], *, base: int, name: str = "snippet") -> Image:
        """Make an image of A32 instruction words that are loaded, and start, at `base`."""
        return cls.from_bytes(b"".join(word.to_bytes(4, "little") for word in words), base=base, name=name)

    @classmethod
    def load(cls, path: str | Path, *, base: int | None = None) -> Image:
        """Read an ELF file, or a raw binary that is meant for address `base`.

        With a base, a position-independent ELF file is moved there. Raises UsageError, with what the file is instead,
        when it is no 32-bit little-endian ARM program.
        """
        return cls.parse(Path(path).read_bytes(), name=Path(path).name, base=base, path=Path(path))

    @classmethod
    def parse(cls, data: bytes, *, name: str, base: int | None = None, path: Path | None = None) -> Image:
        """Make an image of the content of a file, as `load` does; `path` is where it lies on this computer."""
        if data[:4] == b"\x7fELF":
            from armprobe.symbols.elf import read_elf

            return read_elf(data, name=name, base=base, path=path)
        if base is None:
            raise UsageError(
                f"{name} is no ELF file: it starts with {data[:4].hex(' ') or 'nothing'}, not 7f 45 4c 46",
                hint="a raw binary takes the address it is meant for (base); a Linux program is an ELF file",
            )
        return cls.from_bytes(data, base=base, name=name)

    def rebased(self, bias: int) -> Image:
        """The same image with `bias` added to every address; what its data point to does not change."""
        return replace(
            self,
            entry=self.entry + bias & 0xFFFFFFFF,
            segments=tuple(replace(part, address=part.address + bias & 0xFFFFFFFF) for part in self.segments),
            symbols=tuple(replace(symbol, address=symbol.address + bias & 0xFFFFFFFF) for symbol in self.symbols),
            marks=tuple((address + bias & 0xFFFFFFFF, kind) for address, kind in self.marks),
            debug=tuple(part.rebased(bias) for part in self.debug),
        )
