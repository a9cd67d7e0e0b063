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

#: START(flags, top of its stack, i) makes a thread that calls thread(i), and needs no stack of its own for it
_STARTS_A_THREAD = """
#ifndef START
#define START start
#endif
__attribute__((naked, noinline)) long START(unsigned flags, void *stack, unsigned i)
{
    asm("push {r4, r7, lr}\\n mov r4, r2\\n mov r2, #0\\n mov r3, #0\\n mov r7, #120\\n svc 0\\n"
        "cmp r0, #0\\n popne {r4, r7, pc}\\n mov r0, r4\\n b thread");
}
"""

#: a source before it may define START, the function that starts a thread, and what happens BEFORE, MEANWHILE and AFTER.
#: Thread i of THREADS calls work ROUNDS * (i + 1) times; the program prints a sum, and ends with status 7
THREADS_SOURCE = (
    """
#ifndef START
#define BEFORE
#define AFTER
#endif
#ifndef MEANWHILE
#define MEANWHILE
#endif
"""
    + _STARTS_A_THREAD
    + """
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
void _start(void)
{
    BEFORE
    for (unsigned i = 0; i < THREADS; i++)
        START(0x50f00, stacks[i] + 4096, i);
    MEANWHILE
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
)


#: `handle` lets a function handle a signal
SIGNAL_HANDLERS = """
struct action { void *handler; unsigned long flags; void *restorer; unsigned long mask[2]; };
__attribute__((naked)) void restore(void) { asm("mov r7, #173\\n svc 0"); }
static void handle(int signal, void *handler)
{
    struct action action = {handler, 0x04000004, restore, {0, 0}};
    sys(174, signal, (long)&action, 0, 8);
}
"""

#: before the program of threads: a timer sends it a thousand signals a second; prints whether many came
WITH_SIGNALS = (
    SIGNAL_HANDLERS
    + """
static volatile unsigned ticks;
void tick(int signal) { ticks++; }
#define START pthread_create
#define BEFORE long timer[4] = {0, 1000, 0, 1000}; handle(14, tick); sys(104, 0, (long)timer, 0, 0);
#define AFTER timer[1] = timer[3] = 0; sys(104, 0, (long)timer, 0, 0); print(ticks > 10);
"""
)


#: THREADS threads call work, and sleep a millisecond after each CALLS of them, while the first one waits for a byte of
#: its standard input, or, where that one ends at once (LEADER_EXITS), another one. Then it does all their work again by
#: itself, and prints 0 if it comes to the same, and the calls
_WAITING = (
    _STARTS_A_THREAD
    + """
enum { READ = 3, NANOSLEEP = 162 };
static char stacks[THREADS + 1][4096] __attribute__((aligned(16)));
static volatile unsigned results[THREADS], done, over;
volatile unsigned calls[THREADS];
static void wait_for_input(void);
__attribute__((noinline, used)) void thread(unsigned i)
{
    static const long moment[2] = {0, 1000000};
    unsigned x = i;
    if (i == THREADS)
        wait_for_input();
    do {
        for (unsigned n = 0; n < CALLS; n++) {
            x = work(n, x);
            calls[i]++;
        }
        sys(NANOSLEEP, (long)moment, 0, 0, 0);
    } while (!over);
    results[i] = x;
    __atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
    sys(FUTEX, (long)&done, 1, 1, 0);
    sys(EXIT, 0, 0, 0, 0);
}
static void wait_for_input(void)
{
    unsigned seen, total = 0, wrong = 0;
    char byte;
    if (sys(READ, 0, (long)&byte, 1, 0) != 1)
        wrong = 1;
    over = 1;
    while ((seen = done) != THREADS)
        sys(FUTEX, (long)&done, 0, seen, 0);
    for (unsigned i = 0; i < THREADS; i++) {
        unsigned x = i;
        for (unsigned n = 0; n < calls[i]; n++)
            x = x * 1664525u + n % CALLS;
        wrong |= x ^ results[i];
        total += calls[i];
    }
    print(wrong);
    print(total);
    sys(EXIT_GROUP, 7, 0, 0, 0);
}
void _start(void)
{
    for (unsigned i = 0; i < THREADS + LEADER_EXITS; i++)
        START(0x50f00, stacks[i] + 4096, i);
    if (LEADER_EXITS)
        sys(EXIT, 0, 0, 0, 0);
    wait_for_input();
}
"""
)

#: THREADS threads call work ROUNDS times each; then the last one ends the process with status 5, or `EXECUTES` busybox,
#: while the others wait. The first thread may have come to its end (LEADER_EXITS)
_ENDING_THREADS = (
    _STARTS_A_THREAD
    + """
enum { EXECVE = 11 };
static char stacks[THREADS][4096] __attribute__((aligned(16)));
static volatile unsigned done, never;
static char *const echo[] = {"/bin/busybox", "echo", "executed", 0};
static void wait_for_ever(void)
{
    for (;;)
        sys(FUTEX, (long)&never, 0, 0, 0);
}
__attribute__((noinline, used)) void thread(unsigned i)
{
    unsigned x = i;
    for (unsigned n = 0; n < ROUNDS; n++)
        x = work(n, x);
    __atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
    if (i != THREADS - 1)
        wait_for_ever();
    while (done != THREADS)
        ;
    if (EXECUTES)
        sys(EXECVE, (long)echo[0], (long)echo, 0, 0);
    sys(EXIT_GROUP, 5, 0, 0, 0);
}
void _start(void)
{
    for (unsigned i = 0; i < THREADS; i++)
        START(0x50f00, stacks[i] + 4096, i);
    if (LEADER_EXITS)
        sys(EXIT, 0, 0, 0, 0);
    wait_for_ever();
}
"""
)


_STATIC = ("-static", "-Wl,-Ttext-segment=0x10000")
_SHARED = ("-shared", "-fPIC")


def build(source: str, folder: Path, name: str, *options: str, **definitions: int) -> Path:
    """Compile a program in C to A32 code without a library, loaded at 0x10000, unless there are options for others."""
    text, result = folder / f"{name}.c", folder / name
    text.write_text(_SYSTEM_CALL + source)
    defines = [f"-D{key}={int(value)}" for key, value in definitions.items()]
    subprocess.run(
        ["arm-none-eabi-gcc", "-O1", "-marm", "-march=armv7-a", "-ffreestanding", "-nostdlib", *defines,
         "-o", str(result), str(text), *(options or _STATIC)],
        check=True,
    )  # fmt: skip
    return result


def waiting_program(folder: Path, name: str = "waiting", *, calls: int = 64, leader_exits: bool = False) -> Path:
    """THREADS threads call work, sleeping after so many `calls`, until the program reads a byte.

    It prints whether all is well, and how many calls there were. Its first thread may come to its end at once.
    """
    return build(_WAITING, folder, name, THREADS=THREADS, CALLS=calls, LEADER_EXITS=leader_exits)


def ending_threads_program(folder: Path, name: str, *, rounds: int, executes: bool, leader_exits: bool) -> Path:
    """THREADS threads call work so many times each; one of them then ends the process, or has it execute busybox."""
    return build(
        _ENDING_THREADS, folder, name, THREADS=THREADS, ROUNDS=rounds, EXECUTES=executes, LEADER_EXITS=leader_exits
    )


def threads_program(folder: Path, *, rounds: int, name: str = "threads") -> Path:
    """THREADS threads call `work`, in all as often as `threads_calls` says."""
    return build(THREADS_SOURCE, folder, name, THREADS=THREADS, ROUNDS=rounds)


def threads_calls(rounds: int) -> int:
    return sum(rounds * (thread + 1) for thread in range(THREADS))


def threads_output(rounds: int, *, more: int = 0) -> str:
    """What it prints, by the same arithmetic, where each call gives so much `more`."""
    total = 0
    for thread in range(THREADS):
        x = thread
        for n in range(rounds * (thread + 1)):
            x = (x * 1664525 + n + more) & 0xFFFFFFFF
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


#: a parent calls work 10 times, its child 5 times, the parent again 7 times; it prints what it and its child came to
_FAMILY = """
enum { FORK = 2, EXECVE = 11, WAIT4 = 114, NANOSLEEP = 162, RT_SIGACTION = 174 };
static char stack[4096] __attribute__((aligned(16)));
static char *const ok[] = {"/bin/busybox", "true", 0};
static volatile unsigned y;
static void child(void)
{
    unsigned x = 2;
    for (unsigned n = 0; n < 5; n++)
        x = work(n, x);
    y = x;
    if (LINGERS) {
        static const long moment[2] = {2, 0}, by_default[5];
        sys(RT_SIGACTION, 2, (long)by_default, 0, 8); // SIGINT: shells have it ignored in the background
        sys(NANOSLEEP, (long)moment, 0, 0, 0);
    }
    if (EXECUTES)
        sys(EXECVE, (long)ok[0], (long)ok, 0, 0);
    if (!SHARES)
        print(x);
    sys(SHARES ? EXIT : EXIT_GROUP, 3, 0, 0, 0);
}
__attribute__((naked, noinline)) long vforked(unsigned flags, void *stack, void *function)
{
    asm("push {r4, r7, lr}\\n mov r4, r2\\n mov r2, #0\\n mov r3, #0\\n mov r7, #120\\n svc 0\\n"
        "cmp r0, #0\\n popne {r4, r7, pc}\\n bx r4");
}
void _start(void)
{
    unsigned x = 1, status = 0;
    for (unsigned n = 0; n < 10; n++)
        x = work(n, x);
    long process = SHARES ? vforked(0x4111, stack + 4096, child) : sys(FORK, 0, 0, 0, 0);
    if (!process)
        child();
    sys(WAIT4, process, (long)&status, 0, 0);
    for (unsigned n = 0; n < 7; n++)
        x = work(n, x);
    print(x);
    print(status);
    sys(EXIT_GROUP, 9, 0, 0, 0);
}
"""
FAMILY_OWN, FAMILY_CHILD = 17, 5

#: calls work 10 times, fails to execute a program, calls it 7 times, and executes busybox
_EXECUTES = """
enum { EXECVE = 11 };
static char *const nothing[] = {"/bin/nothing", 0};
static char *const echo[] = {"/bin/busybox", "echo", "executed", 0};
void _start(void)
{
    unsigned x = 1;
    for (unsigned n = 0; n < 10; n++)
        x = work(n, x);
    sys(EXECVE, (long)nothing[0], (long)nothing, 0, 0);
    for (unsigned n = 0; n < 7; n++)
        x = work(n, x);
    sys(EXECVE, (long)echo[0], (long)echo, 0, 0);
    sys(EXIT_GROUP, 1, 0, 0, 0);
}
"""

#: makes a system call after each of CALLS calls of work; prints how many microseconds that took in all
_CALLS = """
enum { GETPPID = 64, CLOCK_GETTIME = 263 };
static long now(void)
{
    long time[2];
    sys(CLOCK_GETTIME, 1, (long)time, 0, 0);
    return time[0] * 1000000 + time[1] / 1000;
}
void _start(void)
{
    unsigned x = 0;
    long begin = now();
    for (unsigned n = 0; n < CALLS; n++) {
        x = work(n, x);
        sys(GETPPID, 0, 0, 0, 0);
    }
    print(now() - begin);
    sys(EXIT_GROUP, 7, 0, 0, 0);
}
"""

#: sends itself SIGUSR1 ROUNDS times, whose handler calls work; prints how often, and sends itself LAST
_SIGNALS = """
enum { GETPID = 20, KILL = 37, RT_SIGACTION = 174 };
static volatile unsigned handled;
static void handler(int number)
{
    work(number, handled);
    handled++;
}
__attribute__((naked)) static void back(void)
{
    asm("mov r7, #173\\n svc 0");
}
struct action { void (*handler)(int); unsigned flags; void (*restorer)(void); unsigned mask[2]; };
void _start(void)
{
    struct action action = {handler, 0x04000004, back, {0, 0}};
    sys(RT_SIGACTION, 10, (long)&action, 0, 8);
    long self = sys(GETPID, 0, 0, 0, 0);
    for (unsigned n = 0; n < ROUNDS; n++)
        sys(KILL, self, 10, 0, 0);
    print(handled);
    sys(KILL, self, LAST, 0, 0);
    sys(EXIT_GROUP, 0, 0, 0, 0);
}
"""


#: calls step until COUNT signals of a timer have come, whose handler calls work, or waits for a byte of its input; it
#: prints how many came, and how often SIGUSR1, SIGUSR2 and SIGURG did
_TICKS = (
    SIGNAL_HANDLERS
    + """
static volatile unsigned ticks, x, told;
__attribute__((noinline)) void step(void) { asm volatile(""); }
static void tick(int signal) { x = work(ticks, x); ticks++; }
static void tell(int signal) { told += signal == 10 ? 1 : signal == 12 ? 0x100 : 0x10000; }
void _start(void)
{
    char byte;
    long timer[4] = {0, 100000, 0, 100000}, off[4] = {0, 0, 0, 0};
    handle(10, tell);
    handle(12, tell);
    handle(23, tell);
    if (COUNT) {
        handle(14, tick);
        sys(104, 0, (long)timer, 0, 0);
        while (ticks < COUNT)
            step();
        sys(104, 0, (long)off, 0, 0);
    } else
        while (sys(3, 0, (long)&byte, 1, 0) != 1)
            ;
    print(ticks);
    print(told);
    sys(EXIT_GROUP, 7, 0, 0, 0);
}
"""
)


def ticking_program(folder: Path, name: str, *, count: int = 0) -> Path:
    """Calls step until it has handled so many signals of a timer, calling work each time, or waits for its input.

    It prints how many signals came, and how many others (SIGUSR1: 1 each, SIGUSR2: 0x100, SIGURG: 0x10000).
    """
    return build(_TICKS, folder, name, COUNT=count)


def forking_program(
    folder: Path, name: str, *, shares: bool = False, executes: bool = False, lingers: bool = False
) -> Path:
    """Calls work FAMILY_OWN times, its child FAMILY_CHILD times; that one `shares` its memory (vfork) or not (fork).

    A child that `lingers` sleeps for two seconds before its end.
    """
    return build(_FAMILY, folder, name, SHARES=int(shares), EXECUTES=int(executes), LINGERS=int(lingers))


def executing_program(folder: Path) -> Path:
    """Calls work FAMILY_OWN times, and executes busybox."""
    return build(_EXECUTES, folder, "executing")


def calling_program(folder: Path, *, calls: int, name: str = "calls") -> Path:
    """Calls work, and makes a system call, so many times; it prints how many microseconds that took."""
    return build(_CALLS, folder, name, CALLS=calls)


def signalling_program(folder: Path, name: str, *, rounds: int, last: int) -> Path:
    """Handles SIGUSR1 so often, calling work each time, and sends itself the signal `last`."""
    return build(_SIGNALS, folder, name, ROUNDS=rounds, LAST=last)


#: work is called once by the constructor, CALLS times by `run`, and once by the destructor
_PLUGIN = """
__attribute__((constructor)) static void begin(void) { work(1, 1); }
unsigned run(unsigned calls)
{
    unsigned x = 0;
    for (unsigned n = 0; n < calls; n++)
        x = work(n, x);
    return x;
}
__attribute__((destructor)) static void end(void) { work(2, 2); }
#ifdef RELOCATED
asm(".text\\n.align 2\\n.word run");
#endif
"""

#: loads each library that it is told of, has it call work 10 times, then 20, 30..., prints the result, and unloads it;
#: `keep` loads the next one so that it stays, `thread` has a thread do the rest
_LOADER = """
void *dlopen(const char *file, int mode);
void *dlsym(void *library, const char *name);
int dlclose(void *library);
void *mmap(void *start, unsigned size, int access, int flags, int file, int offset);
int pthread_create(unsigned long *thread, void *attributes, void *(*function)(void *), void *argument);
int pthread_join(unsigned long thread, void **result);
void exit(int status);
static void *load(void *arguments)
{
    char **names = arguments;
    for (int n = 1; *names; n++, names++) {
        int keep = **names == 'k' && *++names;
        void *library = dlopen(*names, 2);
        if (!library)
            exit(1);
        print(((unsigned (*)(unsigned))dlsym(library, "run"))(10 * n));
        if (!keep)
            dlclose(library);
        mmap(0, 0x3000 * n, 3, 0x22, -1, 0); // what comes next lies elsewhere
    }
    return 0;
}
int main(int count, char **arguments)
{
    unsigned long thread;
    if (count > 1 && arguments[1][0] == 't') {
        if (pthread_create(&thread, 0, load, arguments + 2) || pthread_join(thread, 0))
            exit(2);
    } else
        load(arguments + 1);
    exit(3);
}
__attribute__((naked)) void _start(void)
{
    asm("pop {r1}\\n mov r2, sp\\n push {r2}\\n push {r0}\\n mov r0, #0\\n push {r0}\\n mov r3, #0\\n ldr r0, =main\\n"
        "bl __libc_start_main\\n .ltorg");
}
"""


def plugin(folder: Path, name: str) -> Path:
    """A library whose `run` calls `work`."""
    return build(_PLUGIN, folder, name, *_SHARED, f"-Wl,-soname,{name}")


def plugin_with_relocated_code(folder: Path, name: str) -> Path:
    """The same, but the dynamic linker writes an address into its code."""
    return build(_PLUGIN, folder, name, *_SHARED, f"-Wl,-soname,{name}", "-Wl,-z,notext", RELOCATED=1)


def loading_program(folder: Path, libc: Path) -> Path:
    """A program that is linked with Debian's C library, and loads the libraries that it is told of."""
    dynamic = ("-no-pie", str(libc), "-Wl,--dynamic-linker=/lib/ld-linux.so.3", "-Wl,--allow-shlib-undefined")
    return build(_LOADER, folder, "loading", *dynamic)


def plugin_calls(number: int) -> int:
    """How often work is called from when a library is loaded, as the one of that number, to when it is unloaded."""
    return 10 * number + 2
