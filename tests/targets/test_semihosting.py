"""Semihosting, called as a program would, and from a program."""

from __future__ import annotations

import time

import pytest

from armprobe.errors import TargetFault
from armprobe.symbols import Image
from armprobe.targets.base import Stop, StopReason
from armprobe.targets.fake import FakeTarget
from armprobe.targets.semihosting import APPLICATION_EXIT, FAILED, Exit, Operation, Semihosting
from armprobe.targets.unicorn import UnicornTarget

BASE = 0x8000
BLOCK, BUFFER = BASE + 0x100, BASE + 0x200


class Program:
    """Memory, and calls from it."""

    def __init__(self, **options: object) -> None:
        self.output = bytearray()
        self.memory = FakeTarget(base=BASE)
        self.host = Semihosting(self.output.extend, **options)  # type: ignore[arg-type]

    def put(self, address: int, data: bytes) -> None:
        self.memory.write_memory(address, data)

    def call(self, operation: int, *words: int) -> int | Exit:
        """Call with a parameter block of these words."""
        self.put(BLOCK, b"".join(word.to_bytes(4, "little") for word in words))
        return self.host.call(self.memory, operation, BLOCK)

    def open(self, name: bytes, mode: int) -> int | Exit:
        self.put(BUFFER, name + b"\0")
        return self.call(Operation.OPEN, BUFFER, mode, len(name))

    def errno(self) -> int | Exit:
        return self.host.call(self.memory, Operation.ERRNO, 0)


@pytest.fixture
def program() -> Program:
    return Program()


def test_characters_and_strings_are_printed(program: Program) -> None:
    program.put(BUFFER, b"hello\0rest")
    assert program.host.call(program.memory, Operation.WRITE0, BUFFER) == 0
    assert program.host.call(program.memory, Operation.WRITEC, BUFFER + 6) == 0
    assert program.output == b"hellor"


def test_string_that_ends_with_memory_is_printed(program: Program) -> None:
    program.put(BASE + 0x1000 - 3, b"ab\0")
    assert program.host.call(program.memory, Operation.WRITE0, BASE + 0x1000 - 3) == 0
    assert program.output == b"ab"


def test_string_without_end_is_a_fault(program: Program) -> None:
    program.put(BASE + 0x1000 - 3, b"abc")
    with pytest.raises(TargetFault, match=r"^cannot read 64 bytes at 0x00009000: not all of it is mapped$"):
        program.host.call(program.memory, Operation.WRITE0, BASE + 0x1000 - 3)


def test_console_is_opened_written_and_closed(program: Program) -> None:
    handle = program.open(b":tt", 4)
    assert handle == 1
    assert program.open(b":tt", 0) == 2
    program.put(BUFFER, b"some text")
    assert program.call(Operation.WRITE, handle, BUFFER, 4) == 0
    assert program.output == b"some"
    assert program.call(Operation.ISTTY, handle) == 1
    assert program.call(Operation.FLEN, handle) == 0
    assert program.call(Operation.CLOSE, handle) == 0
    assert program.call(Operation.CLOSE, handle) == FAILED
    assert program.call(Operation.WRITE, handle, BUFFER, 4) == 4
    assert program.errno() == 9
    assert program.open(b":tt", 4) == 1


def test_files_of_the_host_are_not_opened(program: Program) -> None:
    assert program.open(b"/etc/passwd", 0) == FAILED
    assert program.errno() == 2


def test_console_input_is_read_until_it_ends() -> None:
    program = Program(input=b"abcdef")
    handle = program.open(b":tt", 0)
    assert program.call(Operation.READ, handle, BUFFER, 4) == 0
    assert program.memory.read_memory(BUFFER, 4) == b"abcd"
    assert program.host.call(program.memory, Operation.READC, 0) == ord("e")
    assert program.call(Operation.READ, handle, BUFFER, 4) == 3
    assert program.call(Operation.READ, handle, BUFFER, 4) == 4
    assert program.host.call(program.memory, Operation.READC, 0) == FAILED
    assert program.call(Operation.READ, 77, BUFFER, 4) == 4


def test_feature_file_announces_the_extended_exit(program: Program) -> None:
    handle = program.open(b":semihosting-features", 0)
    assert program.call(Operation.FLEN, handle) == 5
    assert program.call(Operation.ISTTY, handle) == 0
    assert program.call(Operation.READ, handle, BUFFER, 4) == 0
    assert program.memory.read_memory(BUFFER, 4) == b"SHFB"
    assert program.call(Operation.SEEK, handle, 4) == 0
    assert program.call(Operation.READ, handle, BUFFER, 4) == 3
    assert program.memory.read_memory(BUFFER, 1)[0] & 1
    assert program.call(Operation.SEEK, handle, 6) == FAILED
    assert program.call(Operation.WRITE, handle, BUFFER, 4) == 4
    assert program.open(b":semihosting-features", 4) == FAILED


def test_calls_on_handles_that_are_not_open_fail(program: Program) -> None:
    for operation in (Operation.ISTTY, Operation.FLEN, Operation.CLOSE):
        assert program.call(operation, 5) == FAILED
        assert program.errno() == 9
    assert program.call(Operation.SEEK, 5, 0) == FAILED


def test_error_status_is_told_from_results(program: Program) -> None:
    assert program.call(Operation.ISERROR, FAILED) == 1
    assert program.call(Operation.ISERROR, 5) == 0


def test_command_line_is_given_where_it_fits() -> None:
    program = Program(command_line="run me")
    assert program.call(Operation.GET_CMDLINE, BUFFER, 7) == 0
    assert program.memory.read_memory(BUFFER, 7) == b"run me\0"
    assert program.memory.read_memory(BLOCK + 4, 4) == b"\x06\0\0\0"
    assert program.call(Operation.GET_CMDLINE, BUFFER, 6) == FAILED


def test_heap_and_stack_are_told() -> None:
    program = Program(heap=(0x10000, 0x20000, 0x40000, 0x30000))
    assert program.call(Operation.HEAPINFO, BUFFER) == 0
    assert program.memory.read_memory(BUFFER, 16) == bytes.fromhex("00000100 00000200 00000400 00000300")


def test_clocks_run_forward(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    start = 4096.0  # fractions of it are exact
    monkeypatch.setattr(time, "monotonic", lambda: start + 100.5)
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.9)
    program.host.started = start
    assert program.call(Operation.CLOCK) == 10050
    assert program.call(Operation.TICKFREQ) == 1_000_000_000
    assert program.call(Operation.ELAPSED) == 0
    assert int.from_bytes(program.memory.read_memory(BLOCK, 8), "little") == 100_500_000_000
    assert program.call(Operation.TIME) == 1_700_000_000


@pytest.mark.parametrize(
    ("reason", "code", "expected"),
    [(APPLICATION_EXIT, 0, 0), (APPLICATION_EXIT, 7, 7), (0x20023, 0, 1), (0x20023, 5, 5)],
)
def test_extended_exit_has_a_code(program: Program, reason: int, code: int, expected: int) -> None:
    assert program.call(Operation.EXIT_EXTENDED, reason, code) == Exit(expected, reason)


def test_exit_tells_success_from_failure(program: Program) -> None:
    assert program.host.call(program.memory, Operation.EXIT, APPLICATION_EXIT) == Exit(0, APPLICATION_EXIT)
    assert program.host.call(program.memory, Operation.EXIT, 0x20023) == Exit(1, 0x20023)


def test_unknown_operations_fail(program: Program) -> None:
    assert program.call(0x0E) == FAILED
    assert program.errno() == 38


def refuse(_address: int) -> bool:
    return False


def test_a32_program_prints_and_exits() -> None:
    # mov r0, #4; adr r1, text; svc #0x123456; mov r0, #0x18; ldr r1, =0x20026; svc #0x123456
    words = [0xE3A00004, 0xE28F1010, 0xEF123456, 0xE3A00018, 0xE59F1000, 0xEF123456, 0x20026, 0x0A6B6F]
    output = bytearray()
    target = UnicornTarget.from_image(Image.from_words(words, base=BASE), output=output.extend)
    assert target.run(refuse) == Stop(StopReason.EXIT, BASE + 24, exit_code=0)
    assert output == b"ok\n"


def test_thumb_program_exits() -> None:
    # movs r0, #0x18; movs r1, #0; svc #0xab
    image = Image.from_bytes(bytes.fromhex("1820 0021 abdf 0000"), base=BASE)
    target = UnicornTarget.from_image(Image("thumb", BASE | 1, image.segments))
    assert target.run(refuse) == Stop(StopReason.EXIT, BASE + 6, exit_code=1)


def test_parameter_block_outside_of_memory_is_a_fault_of_the_program() -> None:
    # mov r0, #1; mov r1, #0; svc #0x123456
    target = UnicornTarget.from_image(Image.from_words([0xE3A00001, 0xE3A01000, 0xEF123456], base=BASE))
    message = "semihosting call 0x1: cannot read 12 bytes at 0x00000000: not all of it is mapped"
    stop = target.run(refuse)
    assert stop == Stop(StopReason.FAULT, BASE + 8, address=0, access="read", message=message)
    assert target.read_registers().pc == BASE + 8
