"""Compiled handlers: built-in actions to LLVM IR to the Body of a detour.

All actions of a site become one function. Its parameters are the registers that the actions read; the addresses of
counters, rings and the numbers of probes are symbols, so that one compilation serves every site of the same shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from itertools import count

from armprobe.codegen.action_order import in_groups
from armprobe.codegen.actions import Action, BeginCall, Call, Count, EndCall, Follow, Latency, Record, Stop, kept_bytes
from armprobe.codegen.aggregate import Aggregate, aggregate
from armprobe.codegen.body import END, SKIPPING, Body, Exit, make_body
from armprobe.codegen.calls import SILENT, TAKEN, come_back, follow_call, give_back, kept_of_call
from armprobe.codegen.conditions import condition
from armprobe.codegen.event_writer import write_event, write_values
from armprobe.codegen.fetch import Fetcher, bytes_at_entry
from armprobe.codegen.filters import Filter
from armprobe.codegen.ir import ATTRIBUTES, Lines
from armprobe.codegen.latency import add_latency, begin_call, end_call
from armprobe.codegen.llvm import compile_module
from armprobe.codegen.map_reader import pop_key, read_map
from armprobe.codegen.map_writer import update_map
from armprobe.codegen.memory import Readable
from armprobe.codegen.object_file import read_object
from armprobe.codegen.python_emit import Emitter
from armprobe.codegen.requirements import check_actions, check_filter
from armprobe.codegen.words import Type
from armprobe.errors import UsageError
from armprobe.events.source import Source

#: the symbol that stands for the address of the site
SITE = "site"
#: bits that actions set: the ring should be emptied, the host is wanted, the function is to be skipped
_DRAIN, _STOP, _SKIP = 1, 2, 4
#: how to leave for all of these bits, the first that fits
_WAYS = ((_SKIP | _DRAIN, Exit.DRAIN_AND_SKIP), (_SKIP, Exit.SKIP), (_STOP, Exit.STOP), (_DRAIN, Exit.DRAIN))


@lru_cache(maxsize=1024)
def compile_actions(
    actions: tuple[Action, ...],
    *,
    architecture: int = 7,
    atomic: bool = False,
    readable: tuple[tuple[int, int], ...] = (),
    walked: bool = False,
    at_return: bool = False,
    kept: tuple[int, tuple[Source, ...]] = (0, ()),
) -> Body:
    """Compile all actions of a site into one Body; they happen in the order of `action_order`.

    `at_return`: the body is that of a trampoline, with the symbols `calls` and `pads`; `kept` is how many pads there
    are, and what is kept of each call. `atomic`: several CPUs, or interrupt handlers, may run it at once. `readable`
    are the [start, end) ranges of memory that handlers may read; `walked`: the rest is read by the routines of
    `armprobe.codegen.page_walk`, and the body has their symbols.
    Raises MissingDependency without llvmlite, and Refused like `requirements.check_actions`.
    """
    if not actions and not at_return:
        raise UsageError("there are no actions to compile")
    check_actions(actions, architecture=architecture, atomic=atomic)
    programs = [action.program for action in actions if isinstance(action, Call)]
    function = _Function(atomic, architecture, Readable(readable, walked), at_return=at_return)
    function.give(max((program.results for program in programs), default=0))
    with function.returning(kept) if at_return else nullcontext():
        for wanted, group in in_groups(actions):
            function.group(wanted, group)
    return function.compile()


@lru_cache(maxsize=1024)
def compile_guard(
    wanted: Filter,
    *,
    architecture: int = 7,
    atomic: bool = False,
    readable: tuple[tuple[int, int], ...] = (),
    walked: bool = False,
) -> Body:
    """Compile a filter into a Body that leaves by Exit.HOLDS where it holds. The rest is as in `compile_actions`."""
    check_filter(wanted, architecture=architecture, atomic=atomic)
    function = _Function(atomic, architecture, Readable(readable, walked))
    function.guard(wanted)
    return function.compile()


def _place(read: frozenset[str]) -> tuple[tuple[int, str], ...]:
    """Argument positions: r0 to r3 are their own; the others take what is free of these, then the stack."""
    natural = [(number, f"r{number}") for number in range(4) if f"r{number}" in read]
    free = (number for number in count() if number > 3 or f"r{number}" not in read)
    others = sorted(read - {"r0", "r1", "r2", "r3"}, key=_source_order)
    return tuple(sorted([*natural, *zip(free, others, strict=False)]))


def _source_order(name: str) -> tuple[int, str]:
    return (int(name[1:]), "") if name[1:].isdigit() else (16, name)


class _Function:
    """Collects the lines of an IR function. Methods that return a string return the name of a value."""

    def __init__(self, atomic: bool, architecture: int, readable: Readable, *, at_return: bool = False) -> None:
        self.read: set[str] = set()
        self._ir = Lines(atomic=atomic)
        self._architecture = architecture
        self._readable = readable
        self._fetcher = Fetcher(self._ir, readable, self._register, has_clz=architecture >= 5)
        #: where the bits stand that say how to leave, and those that may be set
        self._wanted: str | None = None
        self._bits = 0
        #: where the value for LR stands meanwhile, if LR changes
        self.link: str | None = None
        #: where those registers stand meanwhile that the caller of the function shall find, from r0 on
        self._results: list[str] = []
        self._at_return = at_return
        #: where the actions end
        self._end = self._ir.label()
        #: registers whose values at the site are not in them any more
        self._moved: dict[str, str] = {}

    def compile(self) -> Body:
        """Compile what was collected."""
        arguments = _place(frozenset(self.read) - {"pc"})
        code = read_object(compile_module(self._module(arguments), architecture=self._architecture))
        return make_body(code, arguments=arguments, atomic=self._ir.atomic, links=self.link is not None,
                         results=len(self._results))  # fmt: skip

    def _module(self, arguments: tuple[tuple[int, str], ...]) -> str:
        """The text of the module; the parameters are at the positions of `arguments`."""
        ir = self._ir
        sources_by_position = dict(arguments)
        parameters = ", ".join(
            f"i32 %{sources_by_position.get(position, f'unused{position}')}"
            for position in range(max(sources_by_position, default=-1) + 1)
        )
        self._finish()
        return "\n".join(
            [
                *(f"@{name} = {kind}" for name, kind in ir.globals.items()),
                *(f"declare {signature}" for signature in sorted(ir.declarations)),
                f"define void @handler({parameters}) {ATTRIBUTES} {{",
                *ir.entry,
                *ir.lines,
                "}",
                '!0 = !{!"branch_weights", i32 1, i32 2000}',
            ]
        )

    def _finish(self) -> None:
        """Leave by the exit that the actions want, and by the end where they want none."""
        ir = self._ir
        ir.jump(self._end)
        ir.begin(self._end)
        link = [ir.value(f"load i32, ptr {self.link}")] if self.link else []
        results = [ir.value(f"load i32, ptr {place}") for place in self._results]
        if self._at_return:
            link = results
        if self._wanted is not None:
            wanted = ir.value(f"load i32, ptr {self._wanted}")
            for bits, way in _WAYS:
                if self._bits & bits == bits:
                    leave, onward = ir.label(), ir.label()
                    asked = ir.value(f"icmp eq i32 {ir.value(f'and i32 {wanted}, {bits}')}, {bits}")
                    ir.branch(asked, leave, onward, rare=True)
                    ir.begin(leave)
                    self._leave(way.value, results if way in SKIPPING else link)
                    ir.begin(onward)
        self._leave(END, link)

    def _leave(self, symbol: str, values: Sequence[str] = ()) -> None:
        """Leave with values in registers from r0 on."""
        ir = self._ir
        ir.declare(f"void @{symbol}({', '.join('i32' for _ in values)}) nounwind")
        ir.line(f"tail call void @{symbol}({', '.join(f'i32 {value}' for value in values)})")
        ir.line("ret void")

    def give(self, count: int) -> None:
        """Let the caller of the function find other values in so many registers, from r0 on."""
        self._results = [self._ir.variable("i32", self._register(f"r{number}")) for number in range(count)]

    def _skip(self, value: str | None, kind: Type | None) -> None:
        ir = self._ir
        if value is not None and kind is not None:
            if kind.bits == 64:
                upper = ir.value(f"trunc i64 {ir.value(f'lshr i64 {value}, 32')} to i32")
                ir.line(f"store i32 {upper}, ptr {self._results[1]}")
                value = ir.value(f"trunc i64 {value} to i32")
            self._set_result(value)
        self._want(str(_SKIP), _SKIP)
        ir.jump(self._end)

    def _set_result(self, value: str) -> None:
        self._ir.line(f"store i32 {value}, ptr {self._results[0]}")

    def _result(self) -> str:
        return self._ir.value(f"load i32, ptr {self._results[0]}") if self._results else self._register("r0")

    def guard(self, wanted: Filter) -> None:
        """Leave by Exit.HOLDS where the filter holds."""
        ir = self._ir
        yes, no = ir.label(), ir.label()
        ir.branch(condition(self._fetcher, wanted), yes, no, rare=True)
        ir.begin(yes)
        self._leave(Exit.HOLDS.value)
        ir.begin(no)

    def group(self, wanted: Filter | None, actions: list[Action]) -> None:
        """Do `actions` where the filter `wanted` holds."""
        ir = self._ir
        yes, out = ir.label(), ir.label()
        if wanted is not None:
            ir.branch(condition(self._fetcher, wanted), yes, out)
            ir.begin(yes)
        with self._fetcher.scope():
            for action in actions:
                match action:
                    case Count(counter):
                        ir.add(ir.symbol(counter))
                    case Record():
                        self._record(action)
                    case Call():
                        self._call(action)
                    case Stop():
                        self._want(str(_STOP), _STOP)
                    case Follow():
                        self._follow(action)
                    case Aggregate():
                        aggregate(self._fetcher, action)
                    case BeginCall(now, calls, missed):
                        begin_call(ir, calls, self._register("sp"), self._fetcher.fetch(now, 8)[0], missed)
                    case EndCall(now, popped, calls, place):
                        sp = ir.value(f"add i32 {self._register('sp')}, {popped}")
                        ticks = self._fetcher.fetch(now, 8)[0]
                        end_call(ir, calls, sp, ticks, place, has_clz=self._architecture >= 5)
                    case Latency(now, began, place):
                        ticks = self._fetcher.fetch(now, 8)[0]
                        took = ir.value(f"sub i64 {ticks}, {self._fetcher.fetch(began, 8)[0]}")
                        add_latency(ir, place, took, has_clz=self._architecture >= 5)
        if wanted is not None:
            ir.jump(out)
            ir.begin(out)

    def _register(self, name: str) -> str:
        """The register as it was at the site; `pc` is the address of the site, known when the body is linked."""
        if name in self._moved:
            return self._moved[name]
        self.read.add(name)
        return self._ir.number(SITE) if name == "pc" else f"%{name}"

    def _follow(self, follow: Follow) -> None:
        if self.link is None:
            self.link = self._ir.variable("i32", self._register("lr"))

        def keep(offset: str) -> None:
            if not follow.keep:
                return
            with self._fetcher.scope():
                for source, place in self._kept(follow.calls, offset, follow.size, follow.keep).items():
                    size = bytes_at_entry(source)
                    self._ir.line(f"store volatile i{8 * size} {self._fetcher.fetch(source, size)[0]}, ptr {place}")

        missed = follow_call(
            self._ir, self.link, calls=follow.calls, pads=follow.pads, missed=follow.missed, size=follow.size, keep=keep
        )
        self._want_drain(missed)

    def _kept(self, calls: str, offset: str, pads: int, keep: tuple[Source, ...]) -> dict[Source, str]:
        """Pointers to what is kept of the call whose entry in the table of calls is at `offset`."""
        ir, start, found = self._ir, 0, {}
        area = kept_of_call(ir, calls, offset, pads, kept_bytes(keep)) if keep else ""
        for source in keep:
            found[source] = ir.offset(area, start)
            start += bytes_at_entry(source)
        return found

    @contextmanager
    def returning(self, kept: tuple[int, tuple[Source, ...]]) -> Iterator[None]:
        """The frame of actions at a return: they run when the call is to be handled; then its pad is free."""
        ir = self._ir
        returned = come_back(ir, calls="calls", pads="pads", sp=self._register("sp"), lr=self._register("lr"))
        self._moved = {"sp": returned.sp, "lr": returned.lr, "pc": returned.pc}
        handle, handled, free, out = (ir.label() for _ in range(4))
        state = ir.value(f"load volatile i32, ptr {returned.entry}")
        ir.branch(ir.value(f"icmp eq i32 {state}, {TAKEN}"), handle, handled)
        ir.begin(handle)
        self._fetcher.kept = self._kept("calls", returned.offset, *kept)
        yield
        ir.jump(handled)
        ir.begin(handled)
        # A pad that is free already: the function returned a second time.
        ir.branch(ir.value(f"icmp uge i32 {state}, {SILENT}"), free, out)
        ir.begin(free)
        give_back(ir, "calls", returned)
        ir.jump(out)
        ir.begin(out)

    def _record(self, record: Record) -> None:
        drain = write_event(
            self._fetcher, record.layout,
            ring=record.ring, capacity=record.capacity, header=record.header, lost=record.lost,
        )  # fmt: skip
        if record.stops:
            self._want_drain(drain)

    def _call(self, call: Call) -> None:
        ir, program, prefix = self._ir, call.program, call.prefix
        ir.add(ir.symbol(f"{prefix}hits"))

        def record(values: list[str | tuple[str, str]], faults: str) -> None:
            assert program.layout is not None
            drain = write_values(
                self._fetcher, program.layout, values, faults,
                ring=call.ring, capacity=call.capacity, header=f"{prefix}header", lost=f"{prefix}lost",
            )  # fmt: skip
            self._want_drain(drain)

        fault, out = ir.label(), ir.label()
        # Read once, in front of all: what is stored in records is the same.
        moment = {name: self._fetcher.fetch(source, size)[0] for name, source, size in call.moment
                  if name in program.moment}  # fmt: skip
        emitter = Emitter(
            ir,
            layout=program.layout,
            maps=program.maps,
            readable=self._readable,
            has_clz=self._architecture >= 5,
            register=self._register,
            probe=lambda: ir.number(f"{prefix}probe"),
            moment=moment.__getitem__,
            at_entry=lambda name, size: self._fetcher.fetch(dict(call.entry)[name], size)[0],
            update_map=lambda number, key, kind, amount, replace: update_map(
                ir, f"{prefix}map{number}", program.maps[number], key, kind, amount, replace=replace
            ),
            read_map=lambda number, key, kind: read_map(ir, f"{prefix}map{number}", program.maps[number], key, kind),
            pop_key=lambda number, key: pop_key(ir, f"{prefix}map{number}", program.maps[number], key),
            record=record,
            skip=self._skip,
            result_word=self._result,
            set_result=self._set_result,
            fault=fault,
            out=out,
        )
        emitter.block(program.body)
        ir.jump(out)
        if program.reads:
            ir.begin(fault)
            ir.add(ir.symbol(f"{prefix}faults"))
            ir.jump(out)
        ir.begin(out)

    def _want_drain(self, wanted: str) -> None:
        self._want(self._ir.value(f"select i1 {wanted}, i32 {_DRAIN}, i32 0"), _DRAIN)

    def _want(self, value: str, bit: int) -> None:
        """Let the body leave by the exit of `bit` if the value has that bit."""
        if self._wanted is None:
            self._wanted = self._ir.variable("i32", "0")
        self._bits |= bit
        old = self._ir.value(f"load i32, ptr {self._wanted}")
        self._ir.line(f"store i32 {self._ir.value(f'or i32 {old}, {value}')}, ptr {self._wanted}")
