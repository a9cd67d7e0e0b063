"""Usage by execution: what the rows say an instruction reads and writes, against what it does in Unicorn.

Each word runs twice. The two states agree in everything its row says it reads and differ at random in everything else,
the address included unless it reads PC. Then, in each run, nothing may change but what the row says it writes; and
between the runs, all that it writes must come out equal: a register that is read but not listed, or listed as written
but kept in part, makes them differ.

The condition is always true here: what a false one does is no matter of the rows. A store-exclusive always fails, as no
load-exclusive comes before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from random import Random
from typing import Any

from armprobe.isa.rows import FLAG_BITS, Row, Usage

# Without Unicorn nothing here makes sense, so it is imported at once; it has no types worth the name.
unicorn: Any = import_module("unicorn")
arm: Any = import_module("unicorn.arm_const")

#: Effects that take a row out of this check, each with its reason.
NOT_EXECUTED = {
    "coprocessor": "what a system register does is the processor's own affair",
    "endian": "it changes what later accesses mean, not a register",
    "exception": "it ends in a handler, which is not there",
    "exception_return": "it needs a saved state to return to",
    "jazelle": "it may leave the instruction set",
    "mode": "it changes which registers there are",
    "privileged": "it reads or writes state outside of Usage",
    "spsr": "it reads or writes state outside of Usage",
    "wait": "it suspends the processor",
}

_CODE = (0x0010_0000, 0x0030_0000)
_CODE_SIZE = 0x10_0000
_DATA = 0x4000_0000
_STACK = 0x6000_0000
_WINDOW = 0x10_0000
_REGISTERS = (
    *(arm.UC_ARM_REG_R0 + n for n in range(13)), arm.UC_ARM_REG_SP, arm.UC_ARM_REG_LR, arm.UC_ARM_REG_CPSR,
    arm.UC_ARM_REG_FPSCR, *(arm.UC_ARM_REG_D0 + n for n in range(32)),
)  # fmt: skip
#: CPSR bits by the names of flags
_CPSR_BITS = {"N": 1 << 31, "Z": 1 << 30, "C": 1 << 29, "V": 1 << 28, "Q": 1 << 27, "GE": 15 << 16}
_CPSR_FLAGS = sum(_CPSR_BITS.values())
#: FPSCR: flags, AHP, DN, FZ, rounding mode
_FPSCR_RANDOM = 0xF7C0_0000


@dataclass(frozen=True, slots=True)
class Finding:
    """A word that does what its row does not say."""

    row: str
    word: int
    problem: str

    def __str__(self) -> str:
        return f"{self.row} 0x{self.word:08x}: {self.problem}"


@dataclass(slots=True)
class Report:
    """What was executed, by row, what Unicorn does not know, by row, and what was found."""

    executed: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class _State:
    core: list[int]  # r0 to r14
    cpsr: int
    fpscr: int
    vector: list[int]  # 64 units of 32 bits


@dataclass(slots=True)
class _Outcome:
    state: _State
    pc: int
    loads: list[tuple[int, int]]
    stores: list[tuple[int, int, int]]


def check_usage(rows: Iterable[Row], *, seed: int = 1, words: int = 16, states: int = 3) -> Report:
    """Execute `words` random words of each row from `states` random pairs of states each.

    Rows with an effect out of NOT_EXECUTED are left out. The same seed gives the same words and states.
    """
    report = Report()
    cases: list[tuple[Row, int]] = []
    groups: dict[int, list[Row]] = {}
    for row in rows:
        before = groups.setdefault(row.group, []) if row.group else []
        if not row.effects & NOT_EXECUTED.keys():
            cases += [(row, word) for word in _sample(row, words, seed, before)]
        before.append(row)
    for start in range(0, len(cases), _CODE_SIZE // 8):
        chunk = cases[start : start + _CODE_SIZE // 8]
        machine = _Machine([word for _, word in chunk])
        for index, (row, word) in enumerate(chunk):
            rng = Random(f"{seed} {word}")  # noqa: S311  reproducible on purpose
            for _ in range(states):
                problem = _check_case(machine, index, row, word, rng)
                if problem == "":
                    report.executed[row.name] += 1
                elif problem == _UNKNOWN:
                    report.unknown[row.name] += 1
                    break
                elif problem is not None:
                    report.findings.append(Finding(row.name, word, problem))
                    break
    return report


_UNKNOWN = "Unicorn does not know the instruction"


def _sample(row: Row, count: int, seed: int, before: Sequence[Row]) -> list[int]:
    """Up to `count` valid words of `row` and none of the rows `before` it, with the condition "always"."""
    rng = Random(f"{seed} {row.name}")  # noqa: S311  reproducible on purpose
    operands = [shift for name, (shift, mask) in row.free_fields.items() if name[0] == "R" and mask == 15]
    words: list[int] = []
    for _ in range(count * 60):
        word = rng.getrandbits(32) & ~(row.mask | row.should_mask) | row.value | row.should_value
        if row.conditional:
            word = word & 0x0FFF_FFFF | 0xE000_0000
        for shift in operands:
            if rng.random() < 0.25:  # SP, PC, or the same register as another
                other = word >> rng.choice(operands) & 15
                word = word & ~(15 << shift) | rng.choice((13, 15, other)) << shift
        if row.invalid(word) is None and not any(other.matches(word) for other in before):
            words.append(word)
            if len(words) == count:
                break
    return words


def _check_case(machine: _Machine, index: int, row: Row, word: int, rng: Random) -> str | None:
    """The problem found; "" if there is none; None if an access missed the memory there is."""
    usage = row.usage(word)
    first = _random_state(rng, row, word, usage)
    second = _differ(first, rng, row, usage)
    second_base = _CODE[0] if usage.reads >> 15 & 1 else _CODE[1]
    outcomes: list[_Outcome] = []
    for before, base in ((first, _CODE[0]), (second, second_base)):
        after = machine.run(base + 8 * index, before)
        if after == "invalid":
            return _UNKNOWN
        if isinstance(after, str):
            return "the address of an access depends on what is not listed as read" if outcomes else None
        problem = _check_run(before, after, usage, row, address=base + 8 * index)
        if problem:
            return problem
        outcomes.append(after)
    return _compare(outcomes[0], outcomes[1], usage)


def _random_state(rng: Random, row: Row, word: int, usage: Usage) -> _State:
    core = [_random_value(rng) for _ in range(15)]
    if usage.loads or usage.stores:
        core = [4 * rng.randrange(64) for _ in range(15)]
        base = row.extract(word).get("Rn")
        if base is not None and base < 15:
            core[base] = _DATA + _WINDOW // 2 + 32 * rng.randrange(64)
    if usage.reads >> 13 & 1 or usage.loads or usage.stores:
        core[13] = _STACK + _WINDOW // 2 + 32 * rng.randrange(64)
    vector = [_random_value(rng) for _ in range(64)]
    if rng.random() < 0.5:  # numbers of one magnitude: of any two others, the sum is mostly the larger one
        vector = [0x3F80_0000 | rng.getrandbits(24) for _ in range(64)]
    cpsr = 0x1D3 | rng.getrandbits(32) & _CPSR_FLAGS
    return _State(core, cpsr, rng.getrandbits(32) & _FPSCR_RANDOM, vector)


def _random_value(rng: Random) -> int:
    """A word that is special more often than chance would have it: results depend on zero, on signs, on shifts of 0."""
    return rng.getrandbits(32) if rng.random() < 0.6 else rng.choice((0, 0, 1, 32, 0x8000_0000, 0xFFFF_FFFF))


def _differ(state: _State, rng: Random, row: Row, usage: Usage) -> _State:
    """Another state that agrees with `state` in all that `usage` says is read."""
    core = [value if usage.reads >> n & 1 else _random_value(rng) for n, value in enumerate(state.core)]
    vector = [value if usage.vector_reads >> n & 1 else _random_value(rng) for n, value in enumerate(state.vector)]
    changed = sum(bits for flag, bits in _CPSR_BITS.items() if not usage.flags_read & FLAG_BITS[flag])
    cpsr = state.cpsr ^ rng.getrandbits(32) & changed
    fpscr = state.fpscr
    if "fpscr_read" not in row.effects:
        fpscr ^= rng.getrandbits(32) & _FPSCR_RANDOM
    return _State(core, cpsr, fpscr, vector)


def _check_run(before: _State, after: _Outcome, usage: Usage, row: Row, *, address: int) -> str:
    """What one run changed that the row does not say, or ""."""
    state = after.state
    for n, value in enumerate(before.core):
        if state.core[n] != value and not usage.writes >> n & 1:
            return f"writes r{n}"
    for n, value in enumerate(before.vector):
        if state.vector[n] != value and not usage.vector_writes >> n & 1:
            return f"writes s{n}" if n < 32 else f"writes word {n & 1} of d{n >> 1}"
    for flag, bits in _CPSR_BITS.items():
        if (state.cpsr ^ before.cpsr) & bits and not usage.flags_written & FLAG_BITS[flag]:
            return f"writes flag {flag}"
    if state.fpscr != before.fpscr and "fpscr_write" not in row.effects:
        return f"writes FPSCR: {before.fpscr:#010x} to {state.fpscr:#010x}"
    if not usage.writes >> 15 & 1 and after.pc != address + 4:
        return f"writes pc: {after.pc:#x}"
    if after.loads and not usage.loads:
        return "loads"
    if after.stores and not usage.stores:
        return "stores"
    if usage.stack is not None and usage.reads >> 13 & 1:
        for place, _, _ in after.stores:
            if _STACK <= place < before.core[13] - usage.stack:
                return f"stores {before.core[13] - place} bytes below sp, not {usage.stack}"
    return ""


def _compare(first: _Outcome, second: _Outcome, usage: Usage) -> str:
    """What came out different though all that is read was the same, or ""."""
    one, two = first.state, second.state
    for n in range(15):
        if usage.writes >> n & 1 and one.core[n] != two.core[n]:
            return f"r{n} depends on what is not listed as read"
    for n in range(64):
        if usage.vector_writes >> n & 1 and one.vector[n] != two.vector[n]:
            return f"word {n & 1} of d{n >> 1} depends on what is not listed as read"
    for flag, bits in _CPSR_BITS.items():
        if usage.flags_written & FLAG_BITS[flag] and (one.cpsr ^ two.cpsr) & bits:
            return f"flag {flag} depends on what is not listed as read"
    if usage.writes >> 15 & 1 and first.pc != second.pc:
        return "pc depends on what is not listed as read"
    if first.loads != second.loads:
        return "the address of a load depends on what is not listed as read"
    if first.stores != second.stores:
        return "a store depends on what is not listed as read"
    return ""


class _Machine:
    """Unicorn with each word at two addresses, and random memory that is restored after every run."""

    def __init__(self, words: Sequence[int]) -> None:
        code = b"".join(word.to_bytes(4, "little") + b"\0\0\xa0\xe1" for word in words)  # each before a NOP
        random = Random(0)  # noqa: S311  reproducible on purpose
        self.memory = {_DATA: random.randbytes(_WINDOW), _STACK: random.randbytes(_WINDOW)}
        self.memory |= {base: code.ljust(_CODE_SIZE, b"\0") for base in _CODE}
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_ARM)
        self.uc.ctl_set_cpu_model(arm.UC_CPU_ARM_MAX)
        for base, content in self.memory.items():
            self.uc.mem_map(base, len(content))
            self.uc.mem_write(base, content)
        access = self.uc.reg_read(arm.UC_ARM_REG_C1_C0_2)
        self.uc.reg_write(arm.UC_ARM_REG_C1_C0_2, access | 0xF << 20)
        self.uc.reg_write(arm.UC_ARM_REG_FPEXC, 1 << 30)
        self.fresh = self.uc.context_save()
        self.loads: list[tuple[int, int]] = []
        self.stores: list[tuple[int, int, int]] = []
        self.uc.hook_add(unicorn.UC_HOOK_MEM_READ, self._on_load)
        self.uc.hook_add(unicorn.UC_HOOK_MEM_WRITE, self._on_store)

    def _on_load(self, _uc: object, _access: int, address: int, size: int, _value: int, _data: object) -> None:
        self.loads.append((address, size))

    def _on_store(self, _uc: object, _access: int, address: int, size: int, value: int, _data: object) -> None:
        self.stores.append((address, size, value & (1 << 8 * size) - 1))

    def run(self, address: int, state: _State) -> _Outcome | str:
        """Execute one instruction; "invalid" if Unicorn does not know it, "fault" if an access missed the memory."""
        self.uc.context_restore(self.fresh)  # without what an earlier load-exclusive left behind
        doubles = [state.vector[n] | state.vector[n + 1] << 32 for n in range(0, 64, 2)]
        values = (*state.core, state.cpsr, state.fpscr, *doubles)
        for register, value in zip(_REGISTERS, values, strict=True):
            self.uc.reg_write(register, value)
        self.loads, self.stores = [], []
        verdict = ""
        try:
            self.uc.emu_start(address, address + 4, count=1)
        except unicorn.UcError as error:
            # an instruction fetch that misses comes after the instruction: a branch did its work
            if error.errno in (unicorn.UC_ERR_INSN_INVALID, unicorn.UC_ERR_EXCEPTION):
                verdict = "invalid"
            elif error.errno != unicorn.UC_ERR_FETCH_UNMAPPED:
                verdict = "fault"
        self._restore()
        if verdict:
            return verdict
        read = [self.uc.reg_read(register) for register in _REGISTERS]
        vector = [unit for double in read[17:] for unit in (double & 0xFFFF_FFFF, double >> 32)]
        after = _State(read[:15], read[15], read[16], vector)
        return _Outcome(after, self.uc.reg_read(arm.UC_ARM_REG_PC), self.loads, self.stores)

    def _restore(self) -> None:
        for address, size, _ in self.stores:
            for base, content in self.memory.items():
                if base <= address < base + len(content):
                    self.uc.mem_write(address, content[address - base : address - base + size])
