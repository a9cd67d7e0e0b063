"""Signals: GDB has numbers of its own for them (GDB's include/gdb/signals.def), Linux on ARM has others."""

from __future__ import annotations

# GDB's number -> name without SIG, Linux's number
_SIGNALS = {
    1: ("HUP", 1), 2: ("INT", 2), 3: ("QUIT", 3), 4: ("ILL", 4), 5: ("TRAP", 5), 6: ("ABRT", 6), 8: ("FPE", 8),
    9: ("KILL", 9), 10: ("BUS", 7), 11: ("SEGV", 11), 12: ("SYS", 31), 13: ("PIPE", 13), 14: ("ALRM", 14),
    15: ("TERM", 15), 16: ("URG", 23), 17: ("STOP", 19), 18: ("TSTP", 20), 19: ("CONT", 18), 20: ("CHLD", 17),
    21: ("TTIN", 21), 22: ("TTOU", 22), 23: ("IO", 29), 24: ("XCPU", 24), 25: ("XFSZ", 25), 26: ("VTALRM", 26),
    27: ("PROF", 27), 28: ("WINCH", 28), 30: ("USR1", 10), 31: ("USR2", 12), 32: ("PWR", 30), 77: ("RTMIN", 32),
}  # fmt: skip
_NAMES = {number: name for name, number in _SIGNALS.values()}
#: they do nothing, or stop a process, unless it says otherwise; all others end it (signal(7))
_SURVIVED = frozenset((17, 18, 19, 20, 21, 22, 23, 28))
#: GDB's number of the real-time signal 33, and those up to 63 after it
_REAL_TIME, _FIRST_REAL_TIME, _LAST_REAL_TIME = 45, 33, 63
_SIG64 = 78


def linux_signal(gdb_number: int) -> tuple[int, str]:
    """Return Linux's number of a signal in GDB's numbering (0: none), and its name: `SIGSEGV`."""
    if gdb_number in _SIGNALS:
        name, number = _SIGNALS[gdb_number]
        return number, f"SIG{name}"
    number = 64 if gdb_number == _SIG64 else gdb_number - _REAL_TIME + _FIRST_REAL_TIME
    if _FIRST_REAL_TIME <= number <= _LAST_REAL_TIME + 1:
        return number, signal_name(number)
    return 0, f"signal {gdb_number} of GDB"


def ends_by_default(number: int) -> bool:
    """Whether a signal, by Linux's number, ends a process that neither handles nor ignores it."""
    return number not in _SURVIVED


def signal_name(number: int) -> str:
    """Return the name of a signal by Linux's number."""
    if number in _NAMES:
        return f"SIG{_NAMES[number]}"
    return f"SIGRTMIN+{number - 32}"
