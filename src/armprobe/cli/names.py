"""What debug information knows at a place: the source line, the function, its names, as text and as JSON."""

from __future__ import annotations

from typing import Any

from armprobe.session import Session
from armprobe.symbols.dwarf.scopes import declaration
from armprobe.symbols.places import (
    Absent,
    ConstantWord,
    InMemory,
    InWord,
    Place,
    RegisterWord,
    Where,
    Word,
    split_sum,
)


def name_facts(session: Session, address: int) -> dict[str, Any]:
    """Return the JSON object of the names at an instruction; null where there is no debug information.

    A name has a `place` or a `reason` why it has no value.
    """
    line, scope = session.symbols.source_line(address), session.symbols.scope(address)
    names = None
    if scope is not None:
        variables = (scope.find(name) for name in scope.names)
        names = [
            {
                "name": variable.name,
                "type": variable.type.name,
                "declaration": declaration(variable.name, variable.type),
                "argument": variable.parameter,
                "place": None if variable.place.reason else place_text(variable.place),
                "reason": variable.place.reason,
            }
            for variable in variables
            if variable is not None
        ]
    return {
        "source": None if line is None else str(line),
        "function": None if scope is None else scope.signature,
        "inlined": [] if scope is None else list(scope.inlined),
        "names": names,
    }


def name_lines(facts: dict[str, Any]) -> list[str]:
    """Return the same as lines, for people; none where nothing is known."""
    lines = []
    if facts["source"] is not None:
        lines.append(f"  source      {facts['source']}")
    if facts["function"] is not None:
        inlined = "".join(f"{name} inlined in " for name in facts["inlined"])
        lines.append(f"  function    {inlined}{facts['function']}")
    names = facts["names"] or ()
    width = max((len(name["declaration"]) for name in names), default=0)
    return lines + [
        f"  {'' if number else 'names':<10}  {name['declaration']:{width}}  {name['place'] or name['reason']}"
        for number, name in enumerate(names)
    ]


def place_text(place: Place) -> str:
    """Return where something is: `r4`, `[sp, #8]`, `r2, r3`, `0x20`."""
    texts = [_where_text(where) for _, where in place.parts]
    # A structure in several words of memory is one place.
    return ", ".join(dict.fromkeys(texts))


def _where_text(where: Where) -> str:
    match where:
        case InMemory(address):
            return f"[{_address_text(address)}]"
        case InWord(RegisterWord(name), 0):
            return name
        case InWord(ConstantWord(value), 0):
            return hex(value)
        case Absent(reason):
            return f"({reason})"
        case _:
            return "computed"


def _address_text(address: Word) -> str:
    base, offset = split_sum(address)
    match base:
        case RegisterWord(name):
            return f"{name}, #{offset}" if offset else name
        case ConstantWord(value):
            return f"0x{value + offset:08x}"
        case _:
            return "computed"
