"""What is dead may be overwritten: told by hand-made programs, and proven by execution."""

from __future__ import annotations

import random
import struct

import pytest

from armprobe.errors import Refused
from armprobe.isa.decoder import decode, table
from armprobe.isa.flow import flow
from armprobe.isa.liveness import EVERYTHING_LIVE, live_after
from armprobe.isa.usage import ALL_FLAGS, ALL_VECTOR, FLAG_BITS

BASE = 0x10000
SP_AND_PC = {13, 15}


def live(*words, limit=64, at=BASE):
    program = {BASE + 4 * n: word for n, word in enumerate(words)}
    return live_after(program.get, at, limit=limit)


def registers(mask):
    return {n for n in range(16) if mask >> n & 1}


def flags(mask):
    return {name for name, bit in FLAG_BITS.items() if mask & bit}


def test_register_that_is_written_first_is_dead():
    found = live(0xE3A00001)  # mov r0, #1
    assert registers(found.core) == set(range(1, 16))
    assert (found.vector, found.flags) == (ALL_VECTOR, ALL_FLAGS)


def test_register_that_is_read_and_written_is_live():
    assert 0 in registers(live(0xE2800001).core)  # add r0, r0, #1


def test_flags_that_a_comparison_sets_are_dead():
    assert flags(live(0xE3500000).flags) == {"Q", "GE"}  # cmp r0, #0


def test_condition_of_the_instruction_itself_reads_its_flags():
    # bne .+8; cmp r0, #0; cmp r0, #0
    assert flags(live(0x1A000000, 0xE3500000, 0xE3500000).flags) == {"Z", "Q", "GE"}


def test_conditional_write_does_not_kill():
    assert 0 in registers(live(0x03A00001).core)  # moveq r0, #1


def test_carry_survives_a_logical_instruction_without_a_shift():
    assert "C" in flags(live(0xE1B00001).flags)  # movs r0, r1
    assert "C" not in flags(live(0xE1B00081).flags)  # lsls r0, r1, #1


def test_both_ways_of_a_branch_count():
    program = (
        0x0A000001,  # beq 1f
        0xE3A00001,  # mov r0, #1
        0xE3A01001,  # mov r1, #1
        0xE3A00002,  # 1: mov r0, #2
    )
    assert registers(live(*program).core) == set(range(1, 16))


def test_branch_that_is_always_taken_hides_what_follows_it():
    # b 1f; add r0, r0, #1; 1: mov r0, #2
    assert 0 not in registers(live(0xEA000000, 0xE2800001, 0xE3A00002).core)


def test_loop_is_followed_until_nothing_new_is_found():
    program = (
        0xE3A00000,  # mov r0, #0
        0xE0800001,  # 1: add r0, r0, r1
        0xE2522001,  # subs r2, r2, #1
        0x1AFFFFFC,  # bne 1b
        0xE1A03000,  # mov r3, r0
    )
    assert registers(live(*program).core) == set(range(16)) - {0, 3}


def test_register_read_only_in_the_second_round_of_a_loop_is_live():
    program = (
        0xEA000000,  # b 2f
        0xE1A04005,  # 1: mov r4, r5
        0xE2522001,  # 2: subs r2, r2, #1
        0x1AFFFFFC,  # bne 1b
        0xE3A05000,  # mov r5, #0
    )
    assert 5 in registers(live(*program).core)


def test_endless_loop_leaves_nothing_live_but_sp_and_pc():
    assert registers(live(0xEAFFFFFE).core) == SP_AND_PC  # b .


@pytest.mark.parametrize(
    "word",
    [
        0xEB000010,  # bl .+0x48
        0xFA000010,  # blx .+0x48
        0xE12FFF33,  # blx r3
        0xE12FFF1E,  # bx lr
        0xE1A0F00E,  # mov pc, lr
        0xE8BD8010,  # pop {r4, pc}
        0xEF000000,  # svc #0
        0xE1200070,  # bkpt #0
        0xE7F000F0,  # udf #0
        0xF1020013,  # cps #19
        0xE4B01000,  # ldrt r1, [r0]
        0xFFFFFFFF,  # no instruction
    ],
)
def test_everything_else_is_live_where_the_walk_ends(word):
    # mov r12, #0; the word; mov r2, #0; cmp r0, #0; b .
    found = live(0xE3A0C000, word, 0xE3A02000, 0xE3500000, 0xEAFFFFFE)
    assert registers(found.core) | {4, 14} == set(range(16)) - {12}  # bl writes lr, pop writes r4
    assert (found.vector, found.flags) == (ALL_VECTOR, ALL_FLAGS)


def test_memory_that_cannot_be_read_leaves_everything_live():
    assert live_after(lambda address: None, BASE) == EVERYTHING_LIVE


def test_limit_leaves_everything_live():
    assert live(0xE3A00001, limit=0) == EVERYTHING_LIVE
    nop_then_mov = (0xE320F000, 0xE3A00001)
    assert 0 in registers(live(*nop_then_mov, limit=1).core)
    assert 0 not in registers(live(*nop_then_mov, limit=2).core)


def test_limit_counts_steps_over_all_paths():
    """A program of branches only: 2**n paths, but every instruction is looked at once."""
    looked = []

    def read_word(address):
        looked.append(address)
        return 0x0A000000  # beq .+8

    assert live_after(read_word, BASE, limit=40) == EVERYTHING_LIVE
    assert len(looked) == 40


def test_vector_units_are_followed_one_by_one():
    # vmov.f32 s0, s2: s0 is unit 0
    found = live(0xEEB00A41)
    assert found.vector == ALL_VECTOR & ~1


def test_walk_stops_at_the_end_of_the_address_space_as_at_unmapped_memory():
    program = {0xFFFFFFFC: 0xE3A00001}  # mov r0, #1
    assert registers(live_after(program.get, 0xFFFFFFFC).core) == set(range(1, 16))


# Execution. What decides is a processor: Unicorn runs the same code twice, the second time with other values in
# everything that is called dead.

unicorn = pytest.importorskip("unicorn")
arm = pytest.importorskip("unicorn.arm_const")

DATA = 0x20000
CPSR_BITS = {"N": 1 << 31, "Z": 1 << 30, "C": 1 << 29, "V": 1 << 28, "Q": 1 << 27, "GE": 0xF << 16}


class Machine:
    """A Cortex-A15 with code at BASE, data at DATA, and its state as one list of numbers."""

    def __init__(self):
        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_ARM)
        self.uc.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_A15)
        self.uc.mem_map(BASE, 0x10000)
        self.uc.mem_map(DATA, 0x10000)
        self.uc.reg_write(arm.UC_ARM_REG_C1_C0_2, 0xF << 20)
        self.uc.reg_write(arm.UC_ARM_REG_FPEXC, 1 << 30)
        self.core = [getattr(arm, f"UC_ARM_REG_R{n}") for n in range(15)]
        self.vector = [getattr(arm, f"UC_ARM_REG_D{n}") for n in range(32)]

    def run(self, words, state, data, count):
        """The final state by name; None when the processor took an exception."""
        core, vector, cpsr = state
        uc = self.uc
        uc.mem_write(BASE, struct.pack(f"<{len(words)}I", *words))
        uc.ctl_remove_cache(BASE, BASE + 0x1000)
        uc.mem_write(DATA, data)
        uc.reg_write(arm.UC_ARM_REG_CPSR, cpsr | 0x10)  # first: r13 and r14 belong to the mode
        for register, value in zip([*self.core, *self.vector], [*core, *vector], strict=True):
            uc.reg_write(register, value)
        uc.reg_write(arm.UC_ARM_REG_FPSCR, 0)
        try:
            uc.emu_start(BASE, BASE + 4 * len(words), count=count)
        except unicorn.UcError:
            return None
        final = {f"r{n}": uc.reg_read(register) for n, register in enumerate(self.core)}
        final |= {f"d{n}": uc.reg_read(register) for n, register in enumerate(self.vector)}
        final |= {"pc": uc.reg_read(arm.UC_ARM_REG_PC), "flags": uc.reg_read(arm.UC_ARM_REG_CPSR) & 0xF80F0000}
        return final | {"data": bytes(uc.mem_read(DATA, len(data)))}


def random_state(chance):
    """Registers that often point into the data, as base registers must."""
    core = [chance.choice([DATA + 0x1000 + 8 * chance.randrange(0x100), chance.getrandbits(32)]) for _ in range(15)]
    core[13] = DATA + 0x1800
    return core, [chance.getrandbits(64) for _ in range(32)], chance.getrandbits(32) & 0xF80F0000


def trash(chance, state, kept):
    """The state with other values in all that `kept`, a Live, does not name."""
    core, vector, cpsr = state
    core = [value if kept.core >> n & 1 else chance.getrandbits(32) for n, value in enumerate(core)]
    units = [value >> 32 * half & 0xFFFFFFFF for value in vector for half in (0, 1)]
    units = [value if kept.vector >> n & 1 else chance.getrandbits(32) for n, value in enumerate(units)]
    vector = [low | high << 32 for low, high in zip(units[::2], units[1::2], strict=True)]
    changed = sum(mask for name, mask in CPSR_BITS.items() if not kept.flags & FLAG_BITS[name])
    return core, vector, cpsr ^ chance.getrandbits(32) & changed


def check_same(words, seed, first, second):
    if first == second:
        return
    differing = {name: (value, (second or {}).get(name)) for name, value in (first or {"fault": 1}).items()}
    differing = {name: pair for name, pair in differing.items() if pair[0] != pair[1] and name != "data"}
    listing = " ".join(f"{word:08x}" for word in words)
    pytest.fail(f"case {seed}: after {listing}, with live values and with dead ones changed: {differing or 'data'}")


def runnable(row):
    """Rows whose instructions end at the next one in user mode, or fault."""
    return not row.effects & {"coprocessor", "exception", "exception_return", "jazelle", "mode", "spsr", "wait"}


@pytest.mark.slow
def test_what_an_instruction_overwrites_had_no_influence_on_it():
    """Every row: an instruction called "writes r3, does not read it" leaves the same state whatever r3 was."""
    machine, compared = Machine(), 0
    data = random.Random(1).randbytes(0x4000)
    for row in filter(runnable, table()):
        for case in range(6):
            seed = f"{row.name}/{case}"
            chance = random.Random(seed)
            word = chance.getrandbits(32) & ~(row.mask | row.should_mask) | row.value | row.should_value
            if row.conditional:
                word = word & 0x0FFFFFFF | 0xE0000000
            try:
                insn = decode(word)
            except Refused:
                continue
            if flow(insn, BASE).unknown:
                continue
            dead = live_after({BASE: word}.get, BASE)
            state = random_state(chance)
            first = machine.run([word], state, data, 1)
            second = machine.run([word], trash(chance, state, dead), data, 1)
            check_same([word], seed, first, second)
            compared += first is not None
    assert compared > 1000


def random_program(chance, rows):
    """Data processing, loads and stores on the stack, and branches to anywhere in the program."""
    size = chance.randrange(4, 24)
    words = []
    while len(words) < size:
        kind = chance.random()
        cond = chance.choice([14, 14, 14, chance.randrange(14)]) << 28
        if kind < 0.15:
            offset = chance.randrange(-len(words), size - len(words)) - 2
            words.append((chance.randrange(14) << 28 if offset < 0 else cond) | 0x0A000000 | offset & 0xFFFFFF)
            continue
        if kind < 0.3:  # ldr/str rt, [sp, #imm]
            rt = chance.choice([*range(13), 14])
            words.append(cond | 0x058D0000 | chance.getrandbits(1) << 20 | rt << 12 | chance.randrange(64) * 4)
            continue
        row = chance.choice(rows)
        word = chance.getrandbits(28) & ~(row.mask | row.should_mask) | row.value | row.should_value
        word = word & 0x0FFFFFFF | cond if row.conditional else word
        try:
            usage = decode(word).usage
        except Refused:
            continue
        if not (usage.writes | usage.reads) & 0xA000:
            words.append(word)
    return words


def test_dead_values_at_the_start_of_a_program_do_not_reach_its_end():
    machine, compared, dead_bits = Machine(), 0, 0
    data = random.Random(2).randbytes(0x2000)
    rows = [row for row in table() if not row.effects and row.memory == "none" and row.relocate != "branch"]
    for seed in range(400):
        chance = random.Random(seed)
        words = random_program(chance, rows)
        program = {BASE + 4 * n: word for n, word in enumerate(words)}
        found = live_after(program.get, BASE, limit=chance.choice([8, 64]))
        state = random_state(chance)
        first = machine.run(words, state, data, 500)
        if first is None or first["pc"] != BASE + 4 * len(words):
            continue  # it did not end
        second = machine.run(words, trash(chance, state, found), data, 500)
        check_same(words, seed, first, second)
        compared += 1
        dead_bits += 16 - found.core.bit_count()
    assert compared > 150
    assert dead_bits > compared
