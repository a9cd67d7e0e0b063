import re
from dataclasses import replace

import pytest
from tests.symbols.kernel_memory import ADD_SP, CODE, NOP, PUSH_LR, RETURN, Memory, Module
from tests.symbols.test_kernelmodules import modules_of

from armprobe.errors import Refused, UsageError
from armprobe.symbols.image import Symbol
from armprobe.symbols.kerneltable import EVERY_MODULE, KernelPart, kernel_table
from armprobe.symbols.location import resolve
from armprobe.symbols.modulelimits import module_limits

KERNEL = KernelPart([Symbol("kernel_function", CODE, 0x100)], CODE, CODE + 0x1000, [])
BASE = 0xBF000000
OUTSIDE = "outside of the kernel's own code"


def table_of(*words, **rest):
    module = Module("some", BASE, list(words), symbols=[("$a", 0, "t"), ("first", 0, "t")], **rest)
    (found,) = modules_of(Memory(module))
    return kernel_table(KERNEL, [(found, module_limits(found))])


def refusals(table, count):
    return [table.refusal(BASE + 4 * number) for number in range(count)]


def test_modules_have_names_of_their_own_and_places_as_the_kernel_shows_them():
    table = table_of(NOP, RETURN)
    assert [place.name for place in resolve("some:*", table)] == ["some:first"]
    assert resolve("first+4", table)[0].address == resolve("some:first+4", table)[0].address == BASE + 4
    assert table.place(BASE + 4) == "first+0x4/0x1000 [some]"
    assert table.place(CODE + 4) == "kernel_function+0x4/0x100"
    assert table.describe(BASE + 4) == "some:first+0x4"
    assert table.is_code(CODE) is None


def test_name_that_the_kernel_and_a_module_have_is_the_kernels_unless_the_module_is_named():
    kernel = replace(KERNEL, symbols=[*KERNEL.symbols, Symbol("first", CODE + 0x100, 4)])
    (module,) = modules_of(Memory(Module("some", BASE, [NOP], symbols=[("first", 0, "t"), ("other", 0, "t")])))
    table = kernel_table(kernel, [(module, module_limits(module))])
    assert [place.address for place in resolve("first", table)] == [CODE + 0x100]
    assert [place.address for place in resolve("some:first", table)] == [BASE]
    assert [place.address for place in resolve("fir*", table)] == [BASE, CODE + 0x100]


def test_name_in_a_module_that_is_not_loaded_has_the_hint_that_it_may_be_later():
    with pytest.raises(UsageError, match=r"^no symbol is called 'other:first'$") as error:
        resolve("other:first", table_of(NOP))
    assert (
        error.value.hint == "other is not loaded yet, or under another name: --pending waits for what is loaded later"
    )


def test_what_is_neither_in_the_kernel_nor_in_the_code_of_a_module_is_refused():
    table = table_of(NOP)
    places = [BASE - 4, BASE, BASE + 0x1000, CODE - 4, CODE, CODE + 0x1000]
    assert [table.refusal(place) for place in places] == [OUTSIDE, "", OUTSIDE, OUTSIDE, "", OUTSIDE]
    assert table.refusal(0xFFFF0008) == "an exception vector"


def test_branches_of_a_module_to_the_kernel_are_its_own_and_those_elsewhere_are_not():
    def branch(place, target):
        return 0xEA000000 | (target - place - 8) >> 2 & 0xFFFFFF

    table = table_of(branch(BASE, CODE + 0x20), branch(BASE + 4, BASE + 0x40), branch(BASE + 8, 0xBF800000), NOP)
    found = refusals(table, 4)
    assert found == ["", "", "a branch out of the kernel's own code, as its optimized kprobes have", ""]


def test_call_of_the_tracer_is_refused_also_by_a_veneer():
    traced = "the place of a call of the function tracer, which the kernel may change (ftrace)"
    table = table_of(PUSH_LR, ADD_SP, PUSH_LR, 0xEB000010, PUSH_LR, NOP)
    assert refusals(table, 6) == ["", traced, "", traced, "", ""]


def test_places_in_the_tables_of_a_module_are_refused_and_those_of_its_start_are_left_out():
    table = table_of(
        NOP, NOP, NOP, NOP,
        tables={
            "__jump_table": [BASE, BASE + 8, 1, 0xBF00C000, 0xBF00C004, 1],
            "__ex_table": [BASE + 4, BASE + 12],
            "_kprobe_blacklist": [BASE + 8],
        },
    )  # fmt: skip
    label, access, blacklisted, other = refusals(table, 4)
    assert label.endswith("(a jump label)")
    assert access.endswith("(exception table)")
    assert blacklisted == "in a function that the module marks as not to be probed (NOKPROBE_SYMBOL)"
    assert other == ""
    assert table.may_change(BASE)
    assert not table.may_change(BASE + 4)


def test_sections_that_are_not_known_as_code_are_refused():
    sections = {".text": 0, ".plt": 8, ".kprobes.text": 16, ".strange": 24, ".exit.text": 32}
    table = table_of(*[NOP] * 10, sections=sections)
    veneer, marked, strange = (table.refusal(BASE + offset) for offset in (8, 16, 24))
    assert veneer == "a veneer, by which the module gets to code that is far away (PLT)"
    assert marked == "code that the kernel marks as not to be probed (.kprobes.text)"
    assert strange == "in the section .strange of the module, which may be no code"
    assert table.refusal(BASE) == table.refusal(BASE + 32) == ""


def test_module_whose_tables_hold_something_else_is_refused():
    with pytest.raises(
        Refused, match=r"^the section __jump_table of the module some holds something else than it should$"
    ):
        table_of(NOP, tables={"__jump_table": [BASE + 2, BASE, 0]})


def test_module_that_is_not_certain_is_refused_by_its_name_with_the_reason():
    table = kernel_table(KERNEL, unknown={"some": "it is strange"})
    assert table.refusal(BASE) == OUTSIDE
    for place in ("some:first", "some:*"):
        with pytest.raises(Refused, match=rf"^{re.escape(place)} can't be probed: it is strange$"):
            resolve(place, table)


def test_modules_that_are_not_known_at_all_are_refused_with_the_reason():
    table = kernel_table(KERNEL, unknown={EVERY_MODULE: "the kernel's list of modules was not found"})
    with pytest.raises(Refused, match=r"^any:name can't be probed: the kernel's list of modules was not found$"):
        resolve("any:name", table)
    assert resolve("kernel_function", table)[0].address == CODE
