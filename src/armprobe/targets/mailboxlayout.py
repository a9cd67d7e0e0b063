"""How a mailbox is laid out, for the host (`mailbox`) and for the code that asks (`armprobe.codegen.asking`)."""

from __future__ import annotations

#: the head: the process that asks, how many threads have asked, whether the host sleeps, a word that nobody waits at,
#: the signals that wait while a thread does (64 bits), and how long it sleeps where there is no entry (struct timespec)
PROCESS, ASKED, SLEEPS, NOBODY, MASK, TIME = 0, 4, 8, 12, 16, 24
#: then the states of all entries, a word each, then what is in them
STATES = 64
ENTRIES = 240
CONTENT = STATES + 4 * ENTRIES
ENTRY_SIZE = 128
#: after all entries: what a thread stores for the host, which gives it to one at a time
DATA = CONTENT + ENTRY_SIZE * ENTRIES
DATA_SIZE = 0x1000
SIZE = DATA + DATA_SIZE
#: an entry holds r0 to r12, sp, lr, pc; then CPSR, and TPIDRURO, which Linux gives each thread; then the work for a
#: thread: the number of a system call and six arguments, of which the first word becomes the result; or the start and
#: the end of memory that gets the words from an address on
CPSR, THREAD, WORK = 64, 68, 72
WORK_ARGUMENTS = 6
#: of an entry: nobody's; a thread's that fills it; a thread waits; it may go on with what is there, or behind the
#: place where it asked with what is there, but for SP; it makes a system call, or stores words, and waits again
FREE, TAKEN, WAITS, ANSWERED, DECLINED, CALLS, STORES = range(7)
#: how far the address behind the call that asks, which is in PC's place then, is from where it asks
LINK = 8
