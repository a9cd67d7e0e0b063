"""Debian's armel libraries with a probe on every instruction do what they do without, and every count is exact."""

from __future__ import annotations

import bz2
import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from tests.integration.every_instruction import Executions, different_bytes, executions, instructions, memory, stack_of
from tests.integration.libraries import DATA, RETURN, fetch, load

import armprobe
from armprobe.session import Session
from armprobe.symbols.image import Image
from armprobe.targets.base import StopReason, Target

PACKAGES = ("zlib1g", "liblz4-1", "libbz2-1.0", "libmd0", "libnettle8", "libc6")
LIBRARIES = (
    "zlib1g/lib/arm-linux-gnueabi/libz.so.1",
    "liblz4-1/usr/lib/arm-linux-gnueabi/liblz4.so.1",
    "libbz2-1.0/lib/arm-linux-gnueabi/libbz2.so.1.0",
    "libmd0/usr/lib/arm-linux-gnueabi/libmd.so.0",
    "libnettle8/usr/lib/arm-linux-gnueabi/libnettle.so.8",
    "libc6/lib/arm-linux-gnueabi/libc.so.6",
)
CONTEXT, TEXT, PACKED, UNPACKED, LENGTH, KEY = (DATA + offset for offset in range(0, 0x60000, 0x10000))
TEXT_BYTES = (b"the quick brown fox jumps over the lazy dog; " * 9 + bytes(range(256)))[:500]
SIZE = len(TEXT_BYTES)
#: one site in so many also gets a host handler
SAMPLE = 41

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Unprobed:
    """The libraries, what calling them does without any probe, and the emulator's own count of it."""

    image: Image
    sites: tuple[int, ...]
    executions: Executions
    results: list[tuple[str, tuple[int, ...]]]
    memory: dict[str, bytes]


@pytest.fixture(scope="module")
def unprobed() -> Unprobed:
    fetch(*(f"{package}:armel" for package in PACKAGES))
    image = load(LIBRARIES)
    code = [(part.address, part.end) for part in image.segments if part.executable and not part.writable]
    with armprobe.emulate(image) as session:
        target = session.target
        with executions(target, code, sample=SAMPLE) as counted:
            results = work(session)
        sites = instructions(target, counted.reached)
        return Unprobed(image, tuple(sites), counted, results, program_memory(target, target.read_memory))


def call(session: Session, address: int, arguments: Sequence[int]) -> tuple[int, ...]:
    """Call a function by the procedure call standard (AAPCS 6.5); return all registers and cpsr as it leaves them."""
    registers = session.regs
    stack = registers.sp
    for number, value in enumerate((*arguments, 0, 0, 0, 0)[:4]):
        registers.values[number] = value
    stacked = b"".join(value.to_bytes(4, "little") for value in arguments[4:])
    registers.sp = stack - len(stacked) & ~7
    session.write_memory(registers.sp, stacked)
    registers.lr, registers.pc = RETURN, address
    session.target.write_registers(registers)
    stop = session.run(until=RETURN)
    assert stop.reason is StopReason.ADDRESS, (
        f"{session.symbols.describe(address)}: {stop} at {session.symbols.describe(stop.pc)}"
    )
    after = session.regs
    result = (*after.values, after.cpsr)
    after.sp = stack
    session.target.write_registers(after)
    return result


def work(session: Session) -> list[tuple[str, tuple[int, ...]]]:
    """Let the libraries do real work, check what it comes to, and return the registers behind each call."""
    results = []
    addresses = {symbol.name.partition(":")[2]: symbol.address for symbol in reversed(session.symbols.symbols)}

    def run(name: str, *arguments: int) -> int:
        results.append((name, call(session, addresses[name], arguments)))
        return results[-1][1][0]

    def read(address: int, size: int) -> bytes:
        return session.read_memory(address, size)

    def packed() -> bytes:
        return read(PACKED, int.from_bytes(read(LENGTH, 4), "little"))

    def room(size: int) -> None:
        session.write_memory(LENGTH, size.to_bytes(4, "little"))

    session.write_memory(TEXT, TEXT_BYTES + b"\0")
    session.write_memory(KEY, bytes(range(64)))

    assert run("crc32", 0, TEXT, SIZE) == zlib.crc32(TEXT_BYTES)
    assert run("adler32", 1, TEXT, SIZE) == zlib.adler32(TEXT_BYTES)
    halves = zlib.crc32(TEXT_BYTES[:300]), zlib.crc32(TEXT_BYTES[300:])
    assert run("crc32_combine", *halves, SIZE - 300) == zlib.crc32(TEXT_BYTES)
    halves = zlib.adler32(TEXT_BYTES[:300]), zlib.adler32(TEXT_BYTES[300:])
    assert run("adler32_combine", *halves, SIZE - 300) == zlib.adler32(TEXT_BYTES)
    for level in (1, 6):
        room(2000)
        assert run("compress2", PACKED, LENGTH, TEXT, SIZE, level) == 0
        data = packed()
        assert zlib.decompress(data) == TEXT_BYTES
        room(2000)
        assert run("uncompress", UNPACKED, LENGTH, PACKED, len(data)) == 0
        assert read(UNPACKED, SIZE) == TEXT_BYTES

    for name, more in (("LZ4_compress_default", ()), ("LZ4_compress_HC", (9,))):
        size = run(name, TEXT, PACKED, SIZE, 2000, *more)
        assert run("LZ4_decompress_safe", PACKED, UNPACKED, size, 2000) == SIZE
        assert read(UNPACKED, SIZE) == TEXT_BYTES

    room(2000)
    assert run("BZ2_bzBuffToBuffCompress", PACKED, LENGTH, TEXT, 120, 1, 0, 0) == 0
    data = packed()
    assert bz2.decompress(data) == TEXT_BYTES[:120]
    room(2000)
    assert run("BZ2_bzBuffToBuffDecompress", UNPACKED, LENGTH, PACKED, len(data), 0, 0) == 0
    assert read(UNPACKED, 120) == TEXT_BYTES[:120]

    for name, size in (("MD4", 16), ("MD5", 16), ("RMD160", 20), ("SHA1", 20), ("SHA256", 32), ("SHA512", 64)):
        run(f"{name}Init", CONTEXT)
        run(f"{name}Update", CONTEXT, TEXT, 200, 0)
        run(f"{name}Final", PACKED, CONTEXT)
        if name.lower() in hashlib.algorithms_guaranteed:
            assert read(PACKED, size) == hashlib.new(name, TEXT_BYTES[:200]).digest()

    run("nettle_aes128_set_encrypt_key", CONTEXT, KEY)
    run("nettle_aes128_encrypt", CONTEXT, 64, PACKED, TEXT)
    run("nettle_aes128_set_decrypt_key", CONTEXT, KEY)
    run("nettle_aes128_decrypt", CONTEXT, 64, UNPACKED, PACKED)
    assert read(UNPACKED, 64) == TEXT_BYTES[:64] != read(PACKED, 64)
    for cipher, key in (("chacha", "chacha_set_key"), ("salsa20", "salsa20_256_set_key")):
        for source, destination in ((TEXT, PACKED), (PACKED, UNPACKED)):
            run(f"nettle_{key}", CONTEXT, KEY)
            run(f"nettle_{cipher}_set_nonce", CONTEXT, KEY)
            run(f"nettle_{cipher}_crypt", CONTEXT, 300, destination, source)
        assert read(UNPACKED, 300) == TEXT_BYTES[:300] != read(PACKED, 300)
    for name in ("sha3_256", "sha512"):
        run(f"nettle_{name}_init", CONTEXT)
        run(f"nettle_{name}_update", CONTEXT, 200, TEXT)
        run(f"nettle_{name}_digest", CONTEXT, 32, PACKED)
        assert read(PACKED, 32) == hashlib.new(name, TEXT_BYTES[:200]).digest()[:32]
    run("nettle_umac32_set_key", CONTEXT, KEY)
    run("nettle_umac32_update", CONTEXT, SIZE, TEXT)
    run("nettle_umac32_digest", CONTEXT, 4, PACKED)

    for offset in range(4):
        for size in (0, 1, 7, 33, 100):
            run("memcpy", PACKED + 1, TEXT + offset, size)
            assert read(PACKED + 1, size) == TEXT_BYTES[offset : offset + size]
            run("memmove", PACKED + 4 + offset, PACKED, size)
            run("memset", UNPACKED + offset, 7, size)
            assert read(UNPACKED + offset, size) == bytes([7]) * size
            run("memcmp", UNPACKED + offset, TEXT, size)
            run("memchr", TEXT + offset, ord(";"), size)
    assert run("strlen", TEXT + 1) == TEXT_BYTES.index(0) - 1
    assert run("strstr", TEXT, TEXT + 40) == TEXT + 40
    return results


def program_memory(target: Target, read: Callable[[int, int], bytes]) -> dict[str, bytes]:
    """All memory of the program; between calls, nothing on its stack is in use."""
    return memory(target, read, unused=[stack_of(target)])


def restart(session: Session, image: Image) -> None:
    """Give the program the memory it started with."""
    for segment in image.segments:
        if segment.writable:
            session.write_memory(segment.address, segment.data.ljust(segment.size, b"\0"))


def wrong_counts(session: Session, counted: dict[int, int], expected: Executions) -> list[str]:
    return [
        f"{session.symbols.describe(address)}: counted {number}, executed {expected.hits[address]}"
        for address, number in counted.items()
        if number != expected.hits[address]
    ]


def test_the_work_covers_enough_code_to_mean_something(unprobed):
    with armprobe.emulate(unprobed.image) as session:
        functions = {session.symbols.at(site)[0].name for site in unprobed.sites if session.symbols.at(site)}
    assert len(functions) >= 100, sorted(functions)
    assert len({name.partition(":")[0] for name in functions}) == len(LIBRARIES), sorted(functions)
    assert len(unprobed.sites) >= 20_000
    assert sum(unprobed.executions.hits.values()) >= 300_000


def test_every_instruction_counted_as_branches_and_then_as_traps(unprobed):
    with armprobe.emulate(unprobed.image) as session:
        target = session.target
        start = program_memory(target, target.read_memory)
        # All or none: of these instructions, not one is refused.
        probes = session.count_all(unprobed.sites)
        assert session.optimize_now() == len(probes)
        assert {(probe.state, probe.reason) for probe in probes} == {("branch", "")}
        assert work(session) == unprobed.results
        assert different_bytes(unprobed.memory, program_memory(target, session.read_memory)) == []
        assert wrong_counts(session, {probe.address: probe.hits for probe in probes}, unprobed.executions) == []

        restart(session, unprobed.image)
        before = {probe: probe.hits for probe in probes}
        session.optimization = False
        assert {probe.state for probe in probes} == {"trap"}
        assert work(session) == unprobed.results
        assert different_bytes(unprobed.memory, program_memory(target, session.read_memory)) == []
        counts = {probe.address: probe.hits - before[probe] for probe in probes}
        assert wrong_counts(session, counts, unprobed.executions) == []
        restart(session, unprobed.image)
    assert different_bytes(start, program_memory(target, target.read_memory)) == []
    assert "slots" not in {region.name for region in target.regions}


@pytest.mark.parametrize("counted", [False, True], ids=["traps", "detours that ask for the host"])
def test_host_handlers_see_the_registers_that_the_emulator_has(unprobed, counted):
    expected = unprobed.executions.frames
    seen: dict[int, list[tuple[int, ...]]] = {address: [] for address in expected}

    def look(hit):
        seen[hit.address].append((*hit.regs.values, hit.regs.cpsr))

    with armprobe.emulate(unprobed.image) as session:
        target = session.target
        counts = session.count_all(expected) if counted else []
        probes = [session.probe(address, look) for address in expected]
        session.optimize_now()
        assert {probe.state for probe in probes} == {"branch" if counted else "trap"}
        assert work(session) == unprobed.results
        assert different_bytes(unprobed.memory, program_memory(target, session.read_memory)) == []
        for group in (probes, counts):
            assert wrong_counts(session, {probe.address: probe.hits for probe in group}, unprobed.executions) == []
        assert {probe.missed for probe in probes} == {0}
    wrong = [address for address in expected if seen[address] != expected[address]]
    assert [session.symbols.describe(address) for address in wrong] == []
