"""Target code for tables whose keys can be removed, with no lock and no wait: an interrupt may come anywhere.

A cell has a state, a reach, and the words of its key; its number stands with the others. The reach belongs to the cells
that searches *begin* at: a key lies among so many cells from there on. It only grows, to MAX_STEPS at most, and takes
the place of tombstones: a cell whose key is gone is as free as one that never had any.

    FREE      nobody's; its number is 0
    CLAIMED   somebody writes a key into it, or was too late with it and frees it
    TRYING    it has a key, which wants to be a member
    MEMBER    it has a key, the only cell of that key
    LEAVING   the same, but its key was removed; so it is free once nobody holds it, unless a number came meanwhile

A key is not there where its number is 0. The argument, for changes of a state by compare-and-swap alone:

- Who reads or changes a number holds the cell (a count in the state), and looks at the key again once it does. A cell
  that is held is not freed, so the number is that of the key.
- A key has one MEMBER. Whoever adds one claims a free cell, lets it be TRYING, and then looks at all cells that the key
  may have: a member of that key is used instead; TRYING ones are thrown back to CLAIMED, which their owners find out.
  With a barrier between the two, one of two at once sees the other.
- A removal takes the number (swaps it for 0), and says LEAVING where it is still 0, before it lets go. Who lets go of a
  LEAVING cell looks at its number: some number makes it a MEMBER again, as what was added came after the removal; 0
  frees it, if nobody else holds it. Each time the state gets a new count, so that nobody takes it for the one that he
  saw before he looked at the number. So nothing is lost, and nothing is there twice.
- Whoever has to begin again was overtaken by somebody, and does so TRIES times at most; then the update counts as one
  without a place. A thread that is ended in here leaves its cell as it was.

tests/codegen/removal_model.py goes through all orders of these steps for small tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from armprobe.codegen.cell_search import Search, begin_search
from armprobe.codegen.ir import Lines
from armprobe.codegen.map_layout import (
    CLAIMED,
    HOLD,
    HOLDS,
    KIND_BITS,
    LEAVING,
    MEMBER,
    TAKE,
    TRYING,
    MapShape,
)
from armprobe.codegen.map_search import begin_at, cell

TRIES = 64
_REACH = 4


class RemovableKey:
    """The cells that a key may have; the key is given as a number, or as its words."""

    def __init__(self, ir: Lines, base: str, shape: MapShape, key: str | Sequence[str]) -> None:
        words = [key] if isinstance(key, str) else list(key)
        self._ir, self._base, self._shape, self._words = ir, base, shape, words
        #: the number of the cell at hand, and of the one that the searches begin at
        self._index, self._home = ir.variable("i32"), ir.variable("i32")
        begin_at(ir, shape, words, self._home)

    @property
    def number(self) -> str:
        """Where the number of the cell at hand stands."""
        return cell(self._ir, self._base, self._index)

    def find(self, act: Callable[[], None], none: str) -> None:
        """Do something with the key's cell, and go on; go to `none` where there is no such cell."""
        self._find(act, none, removing=False)

    def _find(self, act: Callable[[], None], none: str, *, removing: bool) -> None:
        held = self._ir.label()
        self._hold(held, none)
        self._ir.begin(held)
        act()
        self._let_go(removing=removing)

    def find_or_add(self, act: Callable[[], None], missed: str) -> None:
        """The same with a new cell where there is none; go to `missed` where there is no room."""
        ir = self._ir
        again, absent, held = ir.label(), ir.label(), ir.label()
        tries = ir.variable("i32")
        ir.line(f"store i32 {TRIES}, ptr {tries}")
        ir.jump(again)
        ir.begin(again)
        self._hold(held, absent)
        ir.begin(absent)
        state = self._claim(missed)
        place = self._place(self._index)
        if ir.atomic:
            lost, more = ir.label(), ir.label()
            self._become_member(place, state, held, lost)
            ir.begin(lost)
            ir.line(f"store atomic volatile i32 {state}, ptr {place} release, align 4")
            left = ir.value(f"sub i32 {ir.value(f'load i32, ptr {tries}')}, 1")
            ir.line(f"store i32 {left}, ptr {tries}")
            ir.branch(ir.value(f"icmp eq i32 {left}, 0"), missed, more)
            ir.begin(more)
            ir.jump(again)
        else:
            ir.line(f"store volatile i32 {ir.value(f'add i32 {state}, {MEMBER}')}, ptr {place}, align 4")
            ir.jump(held)
        ir.begin(held)
        act()
        self._let_go()

    def remove(self, none: str) -> str:
        """Remove the key: the i64 number that it had; go to `none` where it is not there."""
        ir, numbers = self._ir, [""]

        def take() -> None:
            if ir.atomic:
                numbers[0] = ir.value(f"atomicrmw xchg ptr {self.number}, i64 0 monotonic")
                return
            place = self._place(self._index)
            numbers[0] = ir.get(self.number, bits=64)
            ir.put(self.number, "0", bits=64)
            freed = ir.value(f"add i32 {ir.value(f'and i32 {self._state(place)}, {-TAKE}')}, {TAKE}")
            ir.line(f"store volatile i32 {freed}, ptr {place}, align 4")

        self._find(take, none, removing=True)
        return numbers[0]

    def _hold(self, held: str, none: str) -> None:
        """Find the cell that is a member with the key, and hold it."""
        ir = self._ir
        look, live = ir.label(), ir.label()
        search, place = self._begin(self._index, none)
        ir.jump(look)
        ir.begin(look)
        state = self._state(place)
        ir.branch(ir.value(f"icmp ne i32 {ir.value(f'and i32 {state}, {MEMBER}')}, 0"), live, search.onward)
        ir.begin(live)
        self._compare(place, search.onward)
        if ir.atomic:
            sure, other = ir.label(), ir.label()
            ir.branch(self._swap(place, state, ir.value(f"add i32 {state}, {HOLD}"), "acquire"), sure, look)
            ir.begin(sure)
            self._compare(place, other)
            ir.jump(held)
            ir.begin(other)
            self._let_go()
            ir.jump(search.onward)
        else:
            ir.jump(held)
        search.close()

    def _let_go(self, *, removing: bool = False) -> None:
        """Hold the cell at hand no longer; `removing`: its key is to go, unless there is a number again."""
        ir = self._ir
        if not ir.atomic:
            return
        look, leaving, decided, out = (ir.label() for _ in range(4))
        place, wanted = self._place(self._index), ir.variable("i32")
        ir.jump(look)
        ir.begin(look)
        state = ir.value(f"load volatile i32, ptr {place}, align 4")
        less = ir.value(f"sub i32 {state}, {HOLD}")
        ir.line(f"store i32 {less}, ptr {wanted}")
        is_leaving = ir.value(f"icmp eq i32 {ir.value(f'and i32 {state}, {KIND_BITS}')}, {LEAVING}")
        ir.branch(is_leaving, leaving, staying := ir.label() if removing else decided, rare=not removing)
        if removing:
            mark = ir.label()
            ir.begin(staying)
            ir.branch(ir.value(f"icmp eq i64 {ir.get(self.number, bits=64)}, 0"), mark, decided)
            ir.begin(mark)
            ir.value(f"atomicrmw or ptr {place}, i32 {LEAVING} acq_rel")
            ir.jump(look)
        ir.begin(leaving)
        ir.line("fence seq_cst")
        empty = ir.value(f"icmp eq i64 {ir.get(self.number, bits=64)}, 0")
        last = ir.value(f"icmp eq i32 {ir.value(f'and i32 {state}, {HOLDS}')}, {HOLD}")
        freed = ir.value(f"select i1 {last}, i32 {ir.value(f'sub i32 {less}, {LEAVING}')}, i32 {less}")
        back = ir.value(f"sub i32 {less}, {LEAVING - MEMBER}")
        chosen = ir.value(f"select i1 {empty}, i32 {freed}, i32 {back}")
        ir.line(f"store i32 {ir.value(f'add i32 {chosen}, {TAKE}')}, ptr {wanted}")
        ir.jump(decided)
        ir.begin(decided)
        ir.branch(self._swap(place, state, ir.value(f"load i32, ptr {wanted}"), "release"), out, look)
        ir.begin(out)

    def _claim(self, missed: str) -> str:
        """Claim a free cell, write the key into it and let searches reach it; its state, were it free again."""
        ir, shape = self._ir, self._shape
        free, mine, steps = ir.label(), ir.label(), ir.variable("i32")
        ir.line(f"store i32 {ir.value(f'load i32, ptr {self._home}')}, ptr {self._index}")
        search = begin_search(ir, self._index, size=shape.size, steps=shape.steps, none=missed)
        place = self._place(self._index)
        state = ir.value(f"load volatile i32, ptr {place}, align 4")
        ir.branch(ir.value(f"icmp eq i32 {ir.value(f'and i32 {state}, {KIND_BITS}')}, 0"), free, search.onward)
        ir.begin(free)
        taken = ir.value(f"add i32 {state}, {TAKE}")
        ir.line(f"store i32 {ir.value(f'add i32 {search.taken}, 1')}, ptr {steps}")
        if ir.atomic:
            claimed = ir.value(f"add i32 {taken}, {CLAIMED}")
            ir.branch(self._swap(place, state, claimed, "acquire"), mine, search.onward)
        else:
            ir.jump(mine)
        search.close()
        ir.begin(mine)
        reach, wanted = ir.offset(self._place(self._home), _REACH), ir.value(f"load i32, ptr {steps}")
        if ir.atomic:
            ir.value(f"atomicrmw umax ptr {reach}, i32 {wanted} monotonic")
        else:
            known = ir.value(f"load i32, ptr {reach}, align 4")
            further = ir.value(f"icmp ugt i32 {wanted}, {known}")
            ir.line(f"store i32 {ir.value(f'select i1 {further}, i32 {wanted}, i32 {known}')}, ptr {reach}, align 4")
        for word, at in zip(self._words, self._word_places(place), strict=True):
            ir.line(f"store volatile i32 {word}, ptr {at}, align 4")
        return taken

    def _become_member(self, place: str, taken: str, held: str, lost: str) -> None:
        """Let the claimed cell be the one member of its key, held; go to `lost` where another one is faster."""
        ir = self._ir
        trying, done = ir.value(f"add i32 {taken}, {TRYING}"), ir.label()
        ir.line(f"store atomic volatile i32 {trying}, ptr {place} release, align 4")
        ir.line("fence seq_cst")
        other = ir.variable("i32")
        search, there = self._begin(other, done)
        look, foreign, rival, back = (ir.label() for _ in range(4))
        own = ir.value(f"icmp eq i32 {search.here}, {ir.value(f'load i32, ptr {self._index}')}")
        ir.branch(own, search.onward, look)
        ir.begin(look)
        state = self._state(there)
        ir.branch(ir.value(f"icmp ult i32 {ir.value(f'and i32 {state}, {KIND_BITS}')}, {TRYING}"),
                  search.onward, foreign)  # fmt: skip
        ir.begin(foreign)
        self._compare(there, search.onward)
        ir.branch(ir.value(f"icmp eq i32 {ir.value(f'and i32 {state}, {MEMBER}')}, 0"), rival, lost)
        ir.begin(rival)
        ir.branch(self._swap(there, state, ir.value(f"sub i32 {state}, {TRYING - CLAIMED}"), "acq_rel"), back, look)
        ir.begin(back)
        ir.jump(search.onward)
        search.close()
        ir.begin(done)
        ir.branch(self._swap(place, trying, ir.value(f"add i32 {taken}, {MEMBER + HOLD}"), "acq_rel"), held, lost)

    def _begin(self, index: str, none: str) -> tuple[Search, str]:
        """Look at the cells that the key may have; and where the one at hand stands."""
        ir, some = self._ir, self._ir.label()
        ir.line(f"store i32 {ir.value(f'load i32, ptr {self._home}')}, ptr {index}")
        at = ir.offset(self._place(self._home), _REACH)
        reach = ir.value(f"load atomic volatile i32, ptr {at} acquire, align 4" if ir.atomic else
                         f"load volatile i32, ptr {at}, align 4")  # fmt: skip
        ir.branch(ir.value(f"icmp eq i32 {reach}, 0"), none, some)
        ir.begin(some)
        search = begin_search(ir, index, size=self._shape.size, steps=reach, none=none)
        return search, self._place(index)

    def _place(self, index: str) -> str:
        """Where the cell has its state."""
        ir, shape = self._ir, self._shape
        offset = ir.value(f"mul i32 {ir.value(f'load i32, ptr {index}')}, {shape.key_bytes}")
        return ir.offset(ir.offset(self._base, shape.keys), offset)

    def _word_places(self, place: str) -> list[str]:
        ir, first = self._ir, self._shape.key_offset
        return [ir.offset(place, first + 4 * number) for number in range(self._shape.key_words)]

    def _state(self, place: str) -> str:
        """The state of a cell; what it holds is not older."""
        ir = self._ir
        return ir.value(f"load atomic volatile i32, ptr {place} acquire, align 4" if ir.atomic else
                        f"load volatile i32, ptr {place}, align 4")  # fmt: skip

    def _compare(self, place: str, other: str) -> None:
        """Go to `other` unless the cell has the key."""
        ir = self._ir
        for word, at in zip(self._words, self._word_places(place), strict=True):
            equal = ir.label()
            kept = ir.value(f"load volatile i32, ptr {at}, align 4")
            ir.branch(ir.value(f"icmp eq i32 {kept}, {word}"), equal, other)
            ir.begin(equal)

    def _swap(self, place: str, old: str, new: str, order: str) -> str:
        """Change a state that is still the old one: an i1."""
        on_failure = "acquire" if order == "acquire" else "monotonic"
        pair = self._ir.value(f"cmpxchg ptr {place}, i32 {old}, i32 {new} {order} {on_failure}")
        return self._ir.value(f"extractvalue {{ i32, i1 }} {pair}, 1")
