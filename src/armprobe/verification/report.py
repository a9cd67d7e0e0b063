"""The text a failed case is reported with: how to repeat it, what ran, from which state, and what differs."""

from __future__ import annotations

from armprobe.isa.insn import CONDITIONS, REGISTER_NAMES
from armprobe.isa.instruction_set import InstructionSet, is_wide
from armprobe.verification.cases import Case
from armprobe.verification.compare import Outcome
from armprobe.verification.machine import End


def reproduction(case: Case) -> str:
    """The command line that repeats a case alone."""
    isa = " --isa t32" if case.row.instruction_set is InstructionSet.T32 else ""
    return f"python -m armprobe.verification.sweep{isa} --seed {case.seed} --case {case.number}"


def describe(case: Case, outcome: Outcome) -> str:
    """Show everything about a case that ran; a `*` marks what differs."""
    assert case.insn is not None
    state = case.state
    lines = [
        f"{case.row.name}, condition {CONDITIONS[case.insn.cond] or 'al'}, seed {case.seed}, case {case.number}",
        f"repeat: {reproduction(case)}",
        "",
        "instruction:" if len(case.insns) == 1 else f"instructions, with the probe at 0x{case.site_address:08x}:",
        _listing(case.code, case.address, case.row.instruction_set),
        "copy:",
        _listing(outcome.copy.code, outcome.copy.address, case.row.instruction_set),
        *(["with an interrupt before every step"] if outcome.interrupted else []),
        "",
        f"{'':6} {'before':>18} {'unprobed':>18} {'probed':>18}",
    ]
    for n, name in enumerate(REGISTER_NAMES[:15]):
        lines.append(_line(outcome, name, f"{state.core[n]:08x}", *(f"{end.core[n]:08x}" for end in _ends(outcome))))
    lines.append(_line(outcome, "pc", f"{case.address:08x}", *(f"{end.pc:08x}" for end in _ends(outcome))))
    lines.append(_line(outcome, "cpsr", f"{state.cpsr:08x}", *(f"{end.cpsr:08x}" for end in _ends(outcome))))
    lines.append(_line(outcome, "fpscr", f"{state.fpscr:08x}", *(f"{end.fpscr:08x}" for end in _ends(outcome))))
    for n in range(32):
        values = [_double(vector, n) for vector in (state.vector, *(end.vector for end in _ends(outcome)))]
        if len(set(values)) > 1:
            lines.append(_line(outcome, f"d{n}", *values))
    lines.append(_line(outcome, "error", "", *(str(end.error) for end in _ends(outcome))))
    lines.append(_line(outcome, "access", "", *(f"{end.access[0]}@{end.access[1]:08x}" for end in _ends(outcome))))
    memory = [name for name in outcome.differences if name.startswith("[")]
    if "sp between steps" in outcome.differences:
        lines.append(f"* sp between steps: {' '.join(f'{sp:08x}' for sp in outcome.probed.stack_pointers)}")
    if memory:
        lines.append(f"* memory at {' '.join(memory[:16])}{' ...' if len(memory) > 16 else ''}")
    return "\n".join(lines)


def _ends(outcome: Outcome) -> tuple[End, End]:
    return outcome.unprobed, outcome.probed


def _line(outcome: Outcome, name: str, *values: str) -> str:
    mark = "*" if name in outcome.differences else " "
    return f"{mark} {name:6}" + "".join(f"{value:>18} " for value in values).rstrip()


def _double(vector: bytes, n: int) -> str:
    return vector[8 * n : 8 * n + 8][::-1].hex()


def _listing(code: bytes, address: int, instruction_set: InstructionSet) -> str:
    """The instructions; where a disassembler knows none, the bytes."""
    lines, at = [], 0
    t32 = instruction_set is InstructionSet.T32
    while at < len(code):
        half = int.from_bytes(code[at : at + 2], "little")
        size = 2 if t32 and not is_wide(half) else 4
        piece = code[at : at + size]
        shown = f"{half:04x} {int.from_bytes(piece[2:], 'little'):04x}" if t32 and size == 4 else piece[::-1].hex()
        lines.append(f"  {address + at:08x}: {shown}  {_disassembled(piece, address + at, t32=t32)}".rstrip())
        at += size
    return "\n".join(lines)


def _disassembled(code: bytes, address: int, *, t32: bool) -> str:
    try:
        from capstone import CS_ARCH_ARM, CS_MODE_ARM, CS_MODE_THUMB, CS_MODE_V8, Cs
    except ImportError:
        return ""
    disassembler = Cs(CS_ARCH_ARM, (CS_MODE_THUMB if t32 else CS_MODE_ARM) | CS_MODE_V8)
    text = next(disassembler.disasm_lite(code, address), (0, 0, "?", ""))
    return f"{text[2]} {text[3]}"
