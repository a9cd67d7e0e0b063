"""A run for people: a table with a column for each core, and a picture of it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import wrap

from armprobe.verification.patchmodel.explore import Event, Result

_COLUMN = 34  # characters, of the table
_PATCHER = "patcher"

_WIDTH, _LINE, _GAP, _MARGIN, _CHARACTERS = 250, 16, 8, 16, 36  # pixels and characters, of the picture
_STYLE = (
    "text{font:12px monospace;fill:#1a1a1a}.t{font-weight:bold}.h{font-size:14px;font-weight:bold}"
    ".p{fill:#dbe9f9;stroke:#3b6ea5}.m{fill:#eee;stroke:#999}.c{fill:#e6f4e1;stroke:#5b8c4a}"
    ".x{fill:#fbdcd8;stroke:#c0392b;stroke-width:2}.l{stroke:#bbb;stroke-dasharray:3 3}"
)


def describe(result: Result) -> str:
    """The run of a result as a table, one line a step, and the rule it broke."""
    actors = _actors(result)
    lines = ["  ".join(["   ", *(actor.ljust(_COLUMN) for actor in actors)]).rstrip()]
    for number, event in enumerate(result.run, 1):
        column = actors.index(_lane(event))
        for part, text in enumerate(wrap(_told(event), _COLUMN) or [""]):
            label = f"{number:3}" if part == 0 else "   "
            lines.append("  ".join([label, *(" " * _COLUMN for _ in range(column)), text]))
    if result.violation is not None:
        lines.append(f"{result.violation.invariant}: {_subject(result)}{result.violation.text}")
    return "\n".join(lines)


def _actors(result: Result) -> list[str]:
    return [_PATCHER, *(f"core {number}" for number in range(result.cores))]


def _lane(event: Event) -> str:
    """Cache maintenance that completes is told beside the one who asked for it."""
    return _PATCHER if event.actor == "memory" else event.actor


def _told(event: Event) -> str:
    return f"({event.text})" if event.actor == "memory" else event.text


def _subject(result: Result) -> str:
    """Who broke the rule, where the text does not say it."""
    last = result.run[-1].actor if result.run else ""
    return f"{last} " if last.startswith("core") else ""


def picture(result: Result, title: str) -> str:
    """The run of a result as an SVG picture: time goes down, each core has a lane, what broke a rule is red."""
    actors = _actors(result)
    width = 2 * _MARGIN + _WIDTH * len(actors)
    head = [_MARGIN + 18, _MARGIN + 46]
    shapes: list[str] = []
    top = head[1] + _GAP + 4
    for event in result.run:
        lines = wrap(_told(event), _CHARACTERS - 4)
        height = _LINE * len(lines) + 6
        left = _MARGIN + _WIDTH * actors.index(_lane(event))
        kind = "x" if event.violation else {"patcher": "p", "memory": "m"}.get(event.actor, "c")
        shapes.append(f'<rect class="{kind}" x="{left}" y="{top}" width="{_WIDTH - 12}" height="{height}" rx="4"/>')
        shapes += _text(lines, left + 6, top + _LINE - 1)
        top += height + _GAP
    verdict = ""
    if result.violation is not None:
        verdict = f"{result.violation.invariant}: {_subject(result)}{result.violation.text}"
    footer = wrap(verdict, _CHARACTERS * len(actors) - 4)
    height = top + _LINE * len(footer) + _MARGIN
    lanes = [_MARGIN + _WIDTH * number + (_WIDTH - 12) // 2 for number in range(len(actors))]
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                f'viewBox="0 0 {width} {height}" role="img">'
            ),
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            f'<text class="h" x="{_MARGIN}" y="{head[0]}">{escape(title)}</text>',
            *(f'<line class="l" x1="{x}" y1="{head[1] + 6}" x2="{x}" y2="{top}"/>' for x in lanes),
            *(
                f'<text class="t" x="{_MARGIN + _WIDTH * number}" y="{head[1]}">{actor}</text>'
                for number, actor in enumerate(actors)
            ),
            *shapes,
            *_text(footer, _MARGIN, top + _LINE, kind="t"),
            "</svg>",
            "",
        ]
    )


def _text(lines: Sequence[str], left: int, top: int, *, kind: str = "") -> list[str]:
    style = f' class="{kind}"' if kind else ""
    return [
        f'<text{style} x="{left}" y="{top + _LINE * number}">{escape(line)}</text>' for number, line in enumerate(lines)
    ]
