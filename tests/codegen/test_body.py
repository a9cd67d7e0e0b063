"""From an object to a Body: what the compiler may do, and what is refused."""

from __future__ import annotations

import builtins
import subprocess

import pytest

from armprobe.codegen import llvm
from armprobe.codegen.actions import Count
from armprobe.codegen.body import END, Exit, Hole, HoleKind, make_body
from armprobe.codegen.handlers import compile_actions
from armprobe.codegen.object_file import read_object
from armprobe.errors import InternalError, MissingDependency, Refused


def assemble(source: str, directory):
    """The object that GNU as makes; returns are branches to END, as LLVM makes them of tail calls."""
    text, obj = directory / "t.s", directory / "t.o"
    text.write_text(f".arch armv7-a\n.arch_extension mp\n.fpu neon\n.syntax unified\n{source}\n")
    subprocess.run(["arm-none-eabi-as", "-o", obj, text], check=True)
    return obj.read_bytes()


@pytest.fixture
def body(tmp_path):
    def make(source: str, *, arguments=(), atomic=False):
        code = read_object(assemble(source.replace("END", END), tmp_path))
        return make_body(code, arguments=arguments, atomic=atomic)

    return make


def words(body) -> list[str]:
    return [f"{word:08x}" for word in body.words]


def test_the_last_return_is_left_out_and_the_others_go_to_the_end(body):
    made = body("cmp r0, #1; beq END; cmp r0, #2; bne 1f; b END; 1: mov r1, #0; b END")
    assert words(made) == ["e3500001", "0a000003", "e3500002", "1a000000", "ea000000", "e3a01000"]
    assert (made.code, made.clobbers, made.flags, made.stack) == (6, 0b10, 15, 0)


def test_a_branch_to_a_way_out_leaves_itself_and_what_nothing_reaches_is_left_out(body):
    made = body("cmp r0, #1; bhi 1f; b END; 1: b armprobe_stop")
    assert words(made) == ["e3500001", "8afffffe"]
    assert (made.code, made.exits) == (2, ((1, Exit.STOP),))
    made = body("cmp r0, #1; push {r4}; beq 2f; ldr r4, 1f; pop {r4}; b armprobe_drain; 2: pop {r4}; b END; 1: .word 7")
    assert words(made) == ["e3500001", "0a000002", "e59f4000", "eafffffe", "00000007"]
    assert (made.code, made.exits, made.clobbers) == (4, ((3, Exit.DRAIN),), 1 << 4)


def test_a_return_before_literals_goes_around_them(body):
    made = body("ldr r0, 1f; b END; 1: .word 0x12345678")
    assert words(made) == ["e59f0000", "ea000000", "12345678"]
    assert made.code == 2


def test_holes_keep_their_addends(body):
    made = body("movw r0, #:lower16:counter+4; movt r0, #:upper16:counter+4; ldr r1, 1f; b END; 1: .word ring-8")
    assert made.relocations == (
        Hole(0, HoleKind.MOVW, "counter", 4),
        Hole(1, HoleKind.MOVT, "counter", 4),
        Hole(4, HoleKind.ABS32, "ring", 0xFFFFFFF8),
    )
    assert made.symbols == {"counter", "ring"}
    linked, _ = made.link({"counter": 0x1FFFE, "ring": 4})
    assert [f"{word:08x}" for word in linked] == ["e3000002", "e3400002", "e59f1000", "ea000000", "fffffffc"]


def test_linking_without_a_symbol_is_an_error(body):
    with pytest.raises(InternalError, match=r"^the handler needs the address of 'ring'; given are \['lost'\]$"):
        body("movw r0, #:lower16:ring; b END").link({"lost": 0})


def test_registers_that_are_pushed_and_popped_are_preserved(body):
    made = body("push {r4, r5, lr}; mov r4, #1; mov lr, #1; mov r12, #1; sub sp, sp, #0x400; str r0, [sp, #4]; "
                "add sp, sp, #0x400; pop {r4, r5, lr}; b END")  # fmt: skip
    assert (made.clobbers, made.stack) == (1 << 12, 12 + 0x400)


def test_saving_is_left_to_the_detour_where_the_body_uses_its_stack_for_nothing_else(body):
    made = body(
        "cmp r0, #1; beq 2f; push {r4, r11, lr}; ldr r4, 1f; cmp r4, #0; beq 3f; ldr lr, 1f + 4; 3: pop {r4, r11, lr};"
        "2: b END; 1: .word counter; .word 5"
    )
    assert words(made) == [
        "e3500001",  # cmp r0, #1
        "0a000006",  # beq to the end
        "e59f400c",  # ldr r4, the first literal
        "e3540000",  # cmp r4, #0
        "0a000003",  # beq to the end
        "e59fe004",  # ldr lr, the second literal
        "ea000001",  # b to the end
        "00000000",
        "00000005",
    ]
    assert made.relocations == (Hole(7, HoleKind.ABS32, "counter", 0),)
    assert (made.code, made.clobbers, made.stack) == (7, 1 << 4 | 1 << 14, 0)


def test_saving_stays_where_pc_is_used_in_a_way_that_is_not_rewritten(body):
    made = body("push {r4, lr}; add r4, pc, #8; ldrh r0, [r4]; pop {r4, lr}; b END; .word 5")
    assert (made.code, made.clobbers, made.stack) == (5, 1, 8)


def test_argument_registers_that_the_caller_sets_are_clobbered(body):
    made = body("str r1, [r0]; b END", arguments=((0, "r4"), (1, "r1"), (4, "sp")))
    assert made.clobbers == 0b01


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("vmov d0, r0, r1; b END", "holds VMOV_two_core_to_double_A1 (0xec410b10), which uses a vector register"),
        ("bl END; b END", "has a relocation of type 28 to 'armprobe_end'"),
        ("bl 1f; 1: b END", "holds BL_immediate_A1 (0xebffffff), which leaves the code"),
        ("b . + 64; b END", "holds B_A1 (0xea00000e), which leaves the code"),
        ("bx lr; b END", "holds BX_A1 (0xe12fff1e), which writes PC"),
        ("pop {r4, pc}; b END", "holds LDM_A1 (0xe8bd8010), which writes PC"),
        ("mov r0, pc; b END", "holds MOV_register_A1 (0xe1a0000f), which reads PC"),
        ("ldr r0, [pc, #64]; b END", "holds LDR_literal_A1 (0xe59f0040), which reads PC"),
        ("svc #0; b END", "holds SVC_A1 (0xef000000), which has the effect exception"),
        ("ldrex r0, [r1]; b END", "holds LDREX_A1 (0xe1910f9f), which has the effect monitor_load"),
        ("mov r4, #1; mov r11, #1; b END", "does not preserve r4, r11"),
        ("push {r4}; mov r4, #1; add sp, sp, #4; b END", "does not preserve r4"),
        ("pop {r4}; b END", "does not preserve r4"),
        ("mov r0, #1", "does not end in a return"),
        ("mov r0, #1; beq END", "does not end in a return"),
        ("", "is not A32 code and then literals: [], 0 bytes"),
        (".data; .word 1; .text; b END", "has a section '.data', and only code is expected"),
        (
            "b END; .word 1; .text; mov r0, r0",
            "is not A32 code and then literals: [(0, '$a'), (4, '$d'), (8, '$a')], 12 bytes",
        ),
        (".thumb; movs r0, r0", "is not A32 code and then literals: [(0, '$t')], 2 bytes"),
        ("bic sp, sp, #7; b END", "the stack use of BIC_immediate_A1 (0xe3cdd007) is not known"),
    ],
)
def test_code_that_breaks_a_promise_is_an_error(body, source, message):
    with pytest.raises(InternalError) as caught:
        body(source)
    assert str(caught.value).removeprefix("the compiled handler ") == message


def test_an_instruction_that_armprobe_does_not_know_is_refused(body):
    with pytest.raises(Refused):
        body(".inst 0xe7f000f0 + 0x00f00000; b END")


def test_exclusives_are_for_atomic_handlers(body):
    assert body("ldrex r0, [r1]; strex r2, r0, [r1]; dmb ish; b END", atomic=True).clobbers == 0b101


def test_without_llvm_the_error_says_what_to_install(monkeypatch):
    real_import = builtins.__import__

    def no_llvm(name, *arguments):
        if name.startswith("llvmlite"):
            raise ImportError(name)
        return real_import(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", no_llvm)
    for function in (llvm._llvm, llvm._machine, compile_actions):
        function.cache_clear()
    with pytest.raises(MissingDependency, match=r"^compiled handlers need llvmlite$") as caught:
        compile_actions((Count(),))
    assert caught.value.hint == "pip install armprobe[compile]"
