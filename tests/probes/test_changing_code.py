"""Code that the program rewrites while it runs, as a kernel does at its jump labels."""

from __future__ import annotations

from armprobe import Image, Session
from armprobe.symbols.table import SymbolTable
from armprobe.targets.unicorn import UnicornTarget

SITE, LABEL = 0x8000, 0x8004
#: mov r0, #1; nop; mov r1, #2; mov r2, #3; mov r3, #4; mov ip, #5; bx lr: dead at the site are r0 to r3 and ip
WORDS = (0xE3A00001, 0xE1A00000, 0xE3A01002, 0xE3A02003, 0xE3A03004, 0xE3A0C005, 0xE12FFF1E)


def detour_size(changing):
    image = Image.from_words(WORDS, base=SITE)
    table = SymbolTable(image.symbols, ranges=[(SITE, SITE + 4 * len(WORDS))], changing=changing)
    with Session(UnicornTarget.from_image(image), symbols=table) as session:
        return len(session.explain(SITE).code.code.data)


def test_detour_saves_what_is_dead_only_as_long_as_a_jump_label_stays_as_it_is():
    assert detour_size(changing=[LABEL]) == detour_size(changing=[]) + 2 * 4
