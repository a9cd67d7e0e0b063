"""The names that a Linux kernel knows for itself: its own tables in memory, or a `System.map` or `/proc/kallsyms`.

The tables (scripts/kallsyms.c writes them, kernel/kallsyms.c reads them), as they are on a 32-bit kernel from 4.6 on:

- token table: 256 texts, each closed by a zero; token index: their offsets in it, 16 bits each;
- names: for each symbol a length (from 128 on in two bytes, low seven bits first, since 6.1), then the numbers of that
  many tokens; the first character of the text they make is the type, as `nm` shows it;
- markers: where every 256th name begins, 32 bits each;
- offsets: the address of each symbol, less the relative base; 32 bits each, sorted.

Nothing says where they are. The token index is found by the digits, which are tokens of their own, and everything else
by how the tables must agree with each other: what does not agree is refused, not guessed.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Iterable, Iterator
from itertools import pairwise

from armprobe.errors import UsageError
from armprobe.symbols.image import Symbol

_TOKENS = 256
_STRIDE = 256
_WORD = 4
_DIGITS = b"".join(b"%d\0" % digit for digit in range(10))
#: a symbol of the kernel whose name is longer than that has two bytes of length
_LONG = 0x80
#: bytes that a name takes at most
_LONGEST = 512 + 2
#: a kernel has thousands of symbols, so at least so many markers
_FEWEST = 4
_LINE = re.compile(rb"([0-9a-fA-F]{8,16}) ([A-Za-z]) ([^\s\[]+)[ \t]*(\[\w+\])?")
_BANNER = re.compile(rb"Linux version [0-9][ -~]*\n")
_NO_ADDRESS = "aA"


def read_tables(data: bytes, *, base: int = 0) -> tuple[Symbol, ...]:
    """Find the tables in `data`, the read-only data of a kernel at address `base`, and return the symbols by address.

    Raises UsageError when there are none, or they do not agree with each other.
    """
    tokens_start, tokens, tokens_end = _find_tokens(data)
    names_start, names = _find_names(data, tokens_start)
    addresses = _find_addresses(data, names_start - _WORD, tokens_end, len(names), base)
    texts = (b"".join([tokens[token] for token in name]).decode("latin-1") for name in names)
    return _sized((address, text[:1], text[1:]) for address, text in zip(addresses, texts, strict=True))


def read_text(data: bytes) -> tuple[Symbol, ...]:
    """Return the symbols of a `System.map`, or of a copy of `/proc/kallsyms` without those of modules.

    Raises UsageError for another file, and for one whose addresses are hidden.
    """
    found = []
    for number, line in enumerate(data.splitlines(), 1):
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise UsageError(
                f"line {number} is no line of a System.map or of /proc/kallsyms: {line[:60].decode('latin-1')!r}",
                hint="wanted, for example, 'c0300000 T _text'",
            )
        if match[4] is None:
            found.append((int(match[1], 16), match[2].decode(), match[3].decode("latin-1")))
    if not any(address for address, _, _ in found):
        raise UsageError(
            f"none of the {len(found)} symbols has an address",
            hint="/proc/kallsyms shows them to root, with /proc/sys/kernel/kptr_restrict at 0 or 1",
        )
    return _sized(sorted(found, key=lambda symbol: symbol[0]))


def find_banner(data: bytes) -> str:
    """Return the version line of the kernel that `data` is of, without the newline; "" when there is none."""
    # A kernel has the line twice, once without the number of the build.
    return max(_BANNER.findall(data), key=len, default=b"").decode("ascii").strip()


def _find_tokens(data: bytes) -> tuple[int, list[bytes], int]:
    """Where the token table begins, the tokens, and where the index of the table ends."""
    place = data.find(_DIGITS)
    while place >= 0:
        found = _tokens_around(data, place)
        if found is not None:
            return found
        place = data.find(_DIGITS, place + 1)
    raise UsageError(
        f"no table of symbols (kallsyms) is in {len(data):,} bytes of the kernel",
        hint="give its symbols as a file: System.map, or a copy of /proc/kallsyms",
    )


def _tokens_around(data: bytes, zero: int) -> tuple[int, list[bytes], int] | None:
    """The token table whose token "0" is at `zero`; None unless the index behind the table says the same."""
    tokens = data[zero : zero + 64 * _TOKENS].split(b"\0", _TOKENS - ord("0"))[:-1]
    if len(tokens) != _TOKENS - ord("0"):
        return None
    end = zero + sum(len(token) + 1 for token in tokens)
    index_start = -(-end // _WORD) * _WORD
    index = _words(data[index_start : index_start + 2 * _TOKENS], "H")
    if len(index) != _TOKENS or index[0] != 0 or any(low >= high for low, high in pairwise(index)):
        return None
    start = zero - index[ord("0")]
    if start < 0 or end - start != index[-1] + len(tokens[-1]) + 1:
        return None
    all_tokens = data[start : end - 1].split(b"\0")
    places = [start + offset for offset in index]
    if len(all_tokens) != _TOKENS or any(
        data[place : place + len(token) + 1] != token + b"\0" for place, token in zip(places, all_tokens, strict=True)
    ):
        return None
    return start, all_tokens, index_start + 2 * _TOKENS


def _find_names(data: bytes, tokens_start: int) -> tuple[int, list[bytes]]:
    """Where the names begin, and each as numbers of tokens."""
    for markers_start, run in _find_markers(data, tokens_start):
        for markers in (run, run[:-1]):  # what follows the markers may look like one more
            highest = markers_start - markers[-1]
            for start in range(highest & -_WORD, max(highest - _STRIDE * _LONGEST, _WORD), -_WORD):
                # The number of names stands before them.
                (count,) = _words(data[start - _WORD : start], "I")
                if -(-count // _STRIDE) == len(markers):
                    names = _split_names(data, start, markers_start, count, markers)
                    if names is not None:
                        return start, names
    raise UsageError("the kernel's table of symbols is damaged, or of an unknown kind: no names belong to its tokens")


def _find_markers(data: bytes, tokens_start: int) -> Iterator[tuple[int, list[int]]]:
    """Words from 0 upwards that may be the markers, nearest to the token table first.

    They lie before it, and from 6.2 on a table of three bytes for each symbol lies between.
    """
    words = _words(data[: tokens_start & -_WORD], "I")
    for index in range(len(words) - _FEWEST, -1, -1):
        if words[index] == 0 and _follows(words[index], words[index + 1]):
            end = index + 1
            while end < len(words) and _follows(words[end - 1], words[end]):
                end += 1
            if end - index >= _FEWEST:
                yield index * _WORD, list(words[index:end])


def _follows(marker: int, other: int) -> bool:
    """Whether `other` can be the next marker: each name takes two bytes or more."""
    return 2 * _STRIDE <= other - marker <= _STRIDE * _LONGEST


def _split_names(data: bytes, start: int, end: int, count: int, markers: list[int]) -> list[bytes] | None:
    names = []
    place = start
    for number in range(count):
        if number % _STRIDE == 0 and place - start != markers[number // _STRIDE]:
            return None
        length = data[place]
        place += 1
        if length >= _LONG:
            length = length - _LONG | data[place] << 7
            place += 1
        if not length or place + length > end:
            return None
        names.append(data[place : place + length])
        place += length
    return names if end - place < 2 * _WORD and not any(data[place:end]) else None


def _find_addresses(data: bytes, before: int, behind: int, count: int, base: int) -> list[int]:
    """The addresses of all symbols. Up to 6.3 their table ends before the number of names, later it is the last.

    The lowest symbol of the kernel is the relative base, or lies a little above it.
    """
    size = count * _WORD
    candidates = [(before - _WORD - gap - size, before - _WORD - gap) for gap in (0, _WORD, 2 * _WORD)]
    aligned = -(-behind // _WORD) * _WORD
    candidates += [(aligned + gap, aligned + gap + size) for gap in (0, _WORD)]
    for start, base_place in candidates:
        offsets = _words(data[max(start, 0) : start + size], "I")
        relative = _words(data[base_place : base_place + _WORD], "I")
        if len(offsets) != count or not relative or not relative[0]:
            continue
        if all(low <= high for low, high in pairwise(offsets)) and relative[0] + offsets[-1] < 1 << 32:
            highest = relative[0] + offsets[-1]
            if not base or relative[0] <= base <= highest:
                return [relative[0] + offset for offset in offsets]
    raise UsageError(
        f"the kernel's table of {count:,} symbols has no addresses where they are in kernels of 4.6 to 6.x"
    )


def _sized(found: Iterable[tuple[int, str, str]]) -> tuple[Symbol, ...]:
    """Symbols sorted by address, each as long as up to the next address that has a name; the last one marks an end."""
    symbols = [symbol for symbol in found if symbol[1] not in _NO_ADDRESS]
    return tuple(
        Symbol(name, address, size, function=kind in "tTwW")
        for (address, kind, name), size in zip(symbols, _sizes([address for address, _, _ in symbols]), strict=True)
    )


def _sizes(addresses: list[int]) -> Iterator[int]:
    sizes = []
    following = addresses[-1] + _WORD if addresses else 0
    for index in range(len(addresses) - 1, -1, -1):
        if index + 1 < len(addresses) and addresses[index + 1] != addresses[index]:
            following = addresses[index + 1]
        sizes.append(following - addresses[index])
    return reversed(sizes)


def _words(data: bytes, kind: str) -> array[int]:
    values = array(kind, data[: len(data) // array(kind).itemsize * array(kind).itemsize])
    if sys.byteorder == "big":
        values.byteswap()
    return values
