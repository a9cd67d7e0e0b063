"""What is wrong is said in a sentence, with what to do about it; nothing is left changed; there is no traceback."""

from __future__ import annotations

import struct

import pytest
from tests.cli.conftest import EXIT

from armprobe.errors import Refused
from armprobe.targets.emulated_memory import EmulatedMemory

FUNCTION = 2  # STT_FUNC


@pytest.fixture
def changed(demo, tmp_path):
    """Writes the sample firmware with other bytes at an offset, or cut off."""

    def write(name, *, at=0, put=b"", size=None):
        data = bytearray(demo.read_bytes())
        data[at : at + len(put)] = put
        path = tmp_path / name
        path.write_bytes(data[:size])
        return path

    return write


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"size": 40}, "fw.elf is cut off: 40 bytes, and the ELF header alone takes 52"),
        ({"at": 4, "put": b"\2"}, "fw.elf is a 64-bit ELF file: wanted a 32-bit little-endian ARM program"),
        ({"at": 5, "put": b"\2"}, "fw.elf is a big-endian ELF file: wanted a 32-bit little-endian ARM program"),
        ({"at": 18, "put": b"\x3e\0"}, "fw.elf is for x86-64: wanted a 32-bit little-endian ARM program"),
        (
            {"size": 3000},
            "fw.elf is cut off: the segment for 0x00008000 has 0 of its 3949 bytes\nhelp: was it copied whole?",
        ),
        (
            {"put": b"MZ\x90\0"},
            (
                "fw.elf is no ELF file: it starts with 4d 5a 90 00, not 7f 45 4c 46\n"
                "help: a raw binary takes the address it is meant for (base); a Linux program is an ELF file"
            ),
        ),
    ],
    ids=["header cut off", "64-bit", "big-endian", "not ARM", "segment cut off", "no ELF"],
)
@pytest.mark.parametrize("command", [["stat", "-e", "malloc"], ["list"], ["explain", "malloc"]], ids=lambda c: c[0])
def test_a_file_that_is_no_arm_program(run, changed, command, file, message):
    outcome = run(command[0], changed("fw.elf", **file), *command[1:])
    assert (outcome.status, outcome.out, outcome.err) == (2, "", f"error[AP100]: {message}\n")


def test_files_that_cannot_be_read(run, tmp_path):
    missing = tmp_path / "missing.elf"
    assert run("list", missing).err == f"error[AP100]: {missing}: No such file or directory\n"
    assert run("list", tmp_path).err == f"error[AP100]: {tmp_path}: Is a directory\n"
    assert run("trace", missing, "-f", missing).err == f"error[AP100]: {missing}: No such file or directory\n"


def test_a_file_for_events_that_cannot_be_written(run, demo, tmp_path):
    path = tmp_path / "no" / "events.ndjson"
    outcome = run("trace", demo, "-e", "malloc", "-o", path)
    assert (outcome.status, outcome.err) == (2, f"error[AP100]: {path}: No such file or directory\n")


@pytest.mark.parametrize(
    ("place", "status", "message"),
    [
        (
            "0x20000000", 1,
            "error[AP200]: 0x20000000 is outside of the program's code, which is at 0x00008000..0x00008f6d\n",
        ),
        (
            "malloc+2", 1,
            "error[AP200]: malloc+2 (0x0000898e) is between two instructions: A32 instructions are at multiples of 4\n",
        ),
        ("malloc+0x1000", 2, "error[AP100]: malloc is 0xd0 bytes long: malloc+0x1000 is not in it\n"),
        ("settings", 1, "error[AP200]: settings (0x00009140) is data, not code: settings is a variable\n"),
        ("mallco", 2, "error[AP100]: no symbol is called 'mallco'\nhelp: did you mean malloc?\n"),
        ("zzz*", 2, "error[AP100]: no function matches 'zzz*'\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["stat", "trace", "explain"])
def test_a_place_where_no_instruction_is(run, demo, command, place, status, message):
    outcome = run(command, demo, *([] if command == "explain" else ["-e"]), place)
    assert (outcome.status, outcome.out, outcome.err) == (status, "", message)


def test_thumb_code_is_not_there_yet(run, demo, changed):
    symbol = struct.pack("<I", 0x898C)  # malloc
    data = demo.read_bytes()
    (at,) = [
        offset
        for offset in range(4, len(data) - 12)
        if data[offset : offset + 4] == symbol and data[offset + 8] & 15 == FUNCTION and data[offset + 4] == 0xD0
    ]
    path = changed("thumb.elf", at=at, put=struct.pack("<I", 0x898D))
    outcome = run("stat", path, "-e", "malloc")
    assert (outcome.status, outcome.out, outcome.err) == (1, "", (
        "error[AP200]: malloc (0x0000898c) is Thumb code: T32 is not supported yet\n"
        "help: build this function with -marm\n"
    ))  # fmt: skip
    skipped = run("stat", path, "-e", "m*", "--until", "memset")
    assert skipped.err.startswith("skipped: malloc (0x0000898c) is Thumb code: T32 is not supported yet\n")
    assert "make_packet" in skipped.out


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (
            "p:x malloc size=%r16",
            (
                "there is no register %r16\n"
                "  p:x malloc size=%r16\n"
                "                  ^\n"
                "help: there are %r0 to %r12, %sp, %lr, %pc, %cpsr\n"
            ),
        ),
        (
            "p:x malloc if sice > 3",
            (
                "malloc has no argument or variable 'sice'; it has: size, class, block\n"
                "  p:x malloc if sice > 3\n"
                "                ^\n"
                "help: did you mean size?\n"
            ),
        ),
        (
            "p:9 malloc",
            "the event name '9' is not made of letters, digits and _\n  p:9 malloc\n    ^\n",
        ),
    ],
)
def test_a_malformed_definition_has_a_caret_under_the_spot(run, demo, definition, message):
    outcome = run("trace", demo, "-e", definition)
    assert (outcome.status, outcome.out, outcome.err) == (2, "", f"error[AP100]: {message}")


def test_a_definition_of_events_is_not_counted(run, demo):
    outcome = run("stat", demo, "-e", "p:x malloc %r0")
    assert (outcome.status, outcome.err) == (2, (
        "error[AP100]: 'p:x malloc %r0' records events, and only hits are counted here\n"
        "help: write -e 'malloc', or use `armprobe trace`\n"
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--machine", "vrit"], "there is no machine 'vrit'\nhelp: did you mean virt?"),
        (["--machine", "q35"], "there is no machine 'q35'\nhelp: known are: virt"),
        (["--cpu", "cortex-a51"], "there is no processor 'cortex-a51'\nhelp: did you mean cortex-a15?"),
        (
            ["--cpu", "cortex-m4"],
            "there is no processor 'cortex-m4'\nhelp: Cortex-M processors run T32 only, which is not supported yet",
        ),
        (["--base", "high"], "wanted a number for --base, got 'high'\nhelp: for example 4096 or 0x1000"),
        (["--limit", "0"], "limit is a number of instructions, 1 or more, not 0"),
        (
            ["--slots", "0x9000:0x8000"],
            (
                "wanted START:END for --slots, with START below END, or the name of a variable, got "
                "'0x9000:0x8000'\n"
                "help: for example 0x46000000:0x46100000"
            ),
        ),
        (
            ["--slots", "0x8f00:0xa000"],
            (
                "--slots 0x00008f00:0x0000a000 overlaps the program, which is at 0x00008000..0x00008f6d\n"
                "help: name memory that the program, its heap and its stack do not use; the emulator finds some"
            ),
        ),
    ],
)
def test_an_option_that_makes_no_sense(run, demo, option, message):
    outcome = run("stat", demo, "-e", "malloc", *option)
    assert (outcome.status, outcome.out, outcome.err) == (2, "", f"error[AP100]: {message}\n")


def test_no_free_memory_for_slots(run, demo, monkeypatch):
    def allocate(self, size, low, high):
        raise Refused("all of it is taken")

    monkeypatch.setattr(EmulatedMemory, "allocate", allocate)
    outcome = run("stat", demo, "-e", "malloc")
    assert (outcome.status, outcome.out, outcome.err) == (1, "", (
        "error[AP203]: Unicorn (cortex-a15) has no 4 bytes of memory for data: all of it is taken\n"
        "help: name memory that the program does not use: slots=[Region(start, end)], or --slots START:END\n"
    ))  # fmt: skip


def test_memory_given_for_slots_is_not_probed(run, demo):
    outcome = run("stat", demo, "--slots", "0x8f70:0x9000", "-e", "0x8f70")
    assert outcome.status == 1
    assert outcome.err == (
        "error[AP200]: 0x00008f70 is outside of the program's code, which is at 0x00008000..0x00008f6d\n"
    )


@pytest.mark.parametrize(
    ("words", "end", "listing"),
    [
        ((0xE3E00000, 0xE5901000), "it cannot read 0xffffffff", "0x00008004  e5901000  ldr r1, [r0]"),
        ((0xE3A00101, 0xE5801000), "it cannot write 0x40000000", "0x00008004  e5801000  str r1, [r0]"),
        (
            (0xE1A00000, 0xEF000000),
            "it cannot execute the instruction there (SVC 0x0: nobody here serves it)",
            "0x00008004  ef000000  svc #0",
        ),
    ],
    ids=["read", "write", "svc"],
)
def test_a_program_that_faults_at_once(run, binary, words, end, listing):
    outcome = run("stat", binary(*words), "--base", "0x8000", "-e", "0x8000")
    assert (outcome.status, outcome.err) == (1, (
        "1 hit of 1 probe; the program faulted at 0x00008004\n"
        f"error[AP301]: the program faulted at 0x00008004: {end}\n"
        f"  {listing}\n"
    ))  # fmt: skip
    assert "branch  0x00008000" in outcome.out


def test_a_jump_to_nowhere(run, binary):
    outcome = run("stat", binary(0xE3A00000, 0xE12FFF10), "--base", "0x8000", "-e", "0x8000")  # mov r0, #0; bx r0
    assert outcome.err.splitlines()[1:] == [
        "error[AP301]: the program faulted at 0x00000000: it cannot execute what is at 0x00000000",
        "help: a program that copies its own code is probed after that: --after",
    ]


def test_a_breakpoint_of_the_program_itself(run, binary):
    outcome = run("stat", binary(0xE1A00000, 0xE1200070), "--base", "0x8000", "-e", "0x8000")  # nop; bkpt #0
    assert (outcome.status, outcome.err) == (1, (
        "1 hit of 1 probe; the program stopped at its own breakpoint at 0x00008004\n"
        "error[AP300]: the program stopped at its own breakpoint at 0x00008004\n"
        "  0x00008004  e1200070  bkpt #0\n"
    ))  # fmt: skip


def test_code_that_changes_itself_under_a_probe_is_left_as_it_is(run, binary):
    code = binary(
        0xE59F0018,  # 8000: ldr r0, [pc, #24]  the word at 0x8020
        0xE28F1004,  # 8004: add r1, pc, #4     0x8010
        0xE5810000,  # 8008: str r0, [r1]
        0xE1A00000,  # 800c: nop
        0xE1A00000,  # 8010: nop                probed, and changed
        *EXIT[:3],
        0xEF123456,  # 8020: svc 0x123456
    )
    outcome = run("stat", code, "--base", "0x8000", "-e", "0x8010")
    assert outcome.status == 1
    error = outcome.err.splitlines()[-2:]
    assert error[0] == "error[AP300]: 1 change could not be undone"
    assert error[1].endswith("but holds 0xef123456; nothing was written")


def test_with_json_an_error_is_an_object(run, demo):
    outcome = run("stat", demo, "-e", "mallco", "--json")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err == (
        '{"error": {"code": "AP100", "message": "no symbol is called \'mallco\'", "evidence": "", '
        '"hint": "did you mean malloc?"}}\n'
    )


def test_a_function_of_a_pattern_that_is_refused_is_skipped_and_told(run, demo, changed):
    memset = bytes.fromhex("000052e3")  # cmp r2, #0: how memset and memcpy begin
    at = demo.read_bytes().index(memset)
    path = changed("udf.elf", at=at, put=bytes.fromhex("f000f0e7"))  # udf #0
    skipped = (
        "skipped: no probe at memset: 0xe7f000f0 (UDF_A1) at 0x00008014 can't be executed elsewhere: "
        "the handler of an undefined instruction identifies it by its address\n"
    )
    outcome = run("stat", path, "-e", "mem*", "--limit", 1)
    assert (outcome.status, outcome.err.startswith(skipped)) == (0, True), outcome
    assert [line.split()[-1] for line in outcome.out.splitlines()] == ["location", "memcpy"]
    for named in (["memset"], ["mem*", "memset"], ["memset", "mem*"]):
        refused = run("stat", path, *(argument for place in named for argument in ("-e", place)))
        assert (refused.status, refused.out, refused.err) == (1, "", skipped.replace("skipped", "error[AP200]"))
