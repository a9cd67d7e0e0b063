"""Linux programs for tests, without a C library: what they do is known to the last call."""

from __future__ import annotations

import subprocess
from pathlib import Path

THREADS = 4

_SYSTEM_CALL = """
static long sys(long number, long a, long b, long c, long d)
{
    register long r7 asm("r7") = number, r0 asm("r0") = a, r1 asm("r1") = b, r2 asm("r2") = c, r3 asm("r3") = d;
    asm volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3) : "memory");
    return r0;
}
enum { EXIT = 1, WRITE = 4, FUTEX = 240, EXIT_GROUP = 248 };
static void print(unsigned value)
{
    char text[9];
    for (int k = 0; k < 8; k++)
        text[k] = "0123456789abcdef"[value >> (28 - 4 * k) & 15];
    text[8] = '\\n';
    sys(WRITE, 1, (long)text, 9, 0);
}
__attribute__((noinline)) unsigned work(unsigned n, unsigned x)
{
    asm volatile("");
    return x * 1664525u + n;
}
"""

#: a source before it may define START, the function that starts a thread, and what happens BEFORE and AFTER.
#: Thread i of THREADS calls work ROUNDS * (i + 1) times; the program prints a sum, and ends with status 7
THREADS_SOURCE = """
#ifndef START
#define START start
#define BEFORE
#define AFTER
#endif
static char stacks[THREADS][4096] __attribute__((aligned(16)));
static volatile unsigned sums[THREADS], done;
__attribute__((noinline, used)) void thread(unsigned i)
{
    unsigned x = i;
    for (unsigned n = 0; n < ROUNDS * (i + 1); n++)
        x = work(n, x);
    sums[i] = x;
    __atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
    sys(FUTEX, (long)&done, 1, 1, 0);
    sys(EXIT, 0, 0, 0, 0);
}
__attribute__((naked, noinline)) long START(unsigned flags, void *stack, unsigned i)
{
    asm("push {r4, r7, lr}\\n mov r4, r2\\n mov r2, #0\\n mov r3, #0\\n mov r7, #120\\n svc 0\\n"
        "cmp r0, #0\\n popne {r4, r7, pc}\\n mov r0, r4\\n b thread");
}
void _start(void)
{
    BEFORE
    for (unsigned i = 0; i < THREADS; i++)
        START(0x50f00, stacks[i] + 4096, i);
    unsigned seen, total = 0;
    while ((seen = done) != THREADS)
        sys(FUTEX, (long)&done, 0, seen, 0);
    for (unsigned i = 0; i < THREADS; i++)
        total += sums[i];
    AFTER
    print(total);
    sys(EXIT_GROUP, 7, 0, 0, 0);
}
"""


def build(source: str, folder: Path, name: str, **definitions: int) -> Path:
    """Compile a program in C to A32 code without a library, loaded at 0x10000."""
    text, result = folder / f"{name}.c", folder / name
    text.write_text(_SYSTEM_CALL + source)
    defines = [f"-D{key}={value}" for key, value in definitions.items()]
    subprocess.run(
        ["arm-none-eabi-gcc", "-O1", "-marm", "-march=armv7-a", "-ffreestanding", "-nostdlib", "-static",
         "-Wl,-Ttext-segment=0x10000", *defines, "-o", str(result), str(text)],
        check=True,
    )  # fmt: skip
    return result


def threads_program(folder: Path, *, rounds: int) -> Path:
    """THREADS threads call `work`, in all as often as `threads_calls` says."""
    return build(THREADS_SOURCE, folder, "threads", THREADS=THREADS, ROUNDS=rounds)


def threads_calls(rounds: int) -> int:
    return sum(rounds * (thread + 1) for thread in range(THREADS))


def threads_output(rounds: int) -> str:
    """What it prints, by the same arithmetic."""
    total = 0
    for thread in range(THREADS):
        x = thread
        for n in range(rounds * (thread + 1)):
            x = (x * 1664525 + n) & 0xFFFFFFFF
        total += x
    return f"{total & 0xFFFFFFFF:08x}\n"


def blank_program(folder: Path) -> Path:
    """A page of memory at 0x8000 that may be written and executed."""
    text, result = folder / "blank.s", folder / "blank"
    text.write_text('.section .code, "awx", %progbits\n.global _start\n_start: b _start\n.space 4092\n')
    subprocess.run(
        ["arm-none-eabi-gcc", "-nostdlib", "-static", "-Wl,--section-start=.code=0x8000", "-o", str(result), str(text)],
        check=True,
    )
    return result
