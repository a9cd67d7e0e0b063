"""The text a failed case is reported with: how to repeat it, what ran, from which state, and what differs."""

from __future__ import annotations

from armprobe.isa.insn import CONDITIONS, REGISTER_NAMES
from armprobe.verification.cases import Case
from armprobe.verification.compare import Outcome
from armprobe.verification.machine import End


def reproduction(case: Case) -> str:
    """The command line that repeats a case alone."""
    return f"python -m armprobe.verification.sweep --seed {case.seed} --case {case.number}"


def describe(case: Case, outcome: Outcome) -> str:
    """Show everything about a case that ran; a `*` marks what differs."""
    assert case.insn is not None
    state = case.state
    lines = [
        f"{case.row.name}, condition {CONDITIONS[case.insn.cond] or 'al'}, seed {case.seed}, case {case.number}",
        f"repeat: {reproduction(case)}",
        "",
        "instruction:",
        _listing((case.insn.word,), case.address),
        "copy:",
        _listing(outcome.copy, outcome.copy_address),
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


def _listing(words: tuple[int, ...], address: int) -> str:
    try:
        from capstone import CS_ARCH_ARM, CS_MODE_ARM, CS_MODE_V8, Cs
    except ImportError:
        return "\n".join(f"  {address + 4 * n:08x}: {word:08x}" for n, word in enumerate(words))
    disassembler = Cs(CS_ARCH_ARM, CS_MODE_ARM | CS_MODE_V8)
    lines = []
    for n, word in enumerate(words):
        text = next(disassembler.disasm_lite(word.to_bytes(4, "little"), address + 4 * n), (0, 0, "?", ""))
        lines.append(f"  {address + 4 * n:08x}: {word:08x}  {text[2]} {text[3]}".rstrip())
    return "\n".join(lines)
