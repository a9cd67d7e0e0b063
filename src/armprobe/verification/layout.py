"""Where things stand in the small address space that the sweep runs in. Every region is far from the others."""

from __future__ import annotations

#: The probed instructions: one slot a case, with enough memory around for literals on both sides.
SLOTS, SLOT_SIZE = 4096, 12  # 12: addresses of both remainders modulo 8
PAD = 0x2000
CODE, CODE_SIZE = 0x00400000, 0x10000
FIRST_SLOT = CODE + PAD
#: The out-of-line copies, within reach of a branch.
COPIES, COPY_SIZE = 0x00600000, 256
#: Data that base registers point to, and the stack. An offset of 12 bits stays inside from the middle of both.
DATA, STACK, REGION_SIZE = 0x10000000, 0x20000000, 0x4000
#: Targets for branches: `b .` in A32 and, at odd multiples of 2, in T32.
STOP, STOP_SIZE = 0x30000000, 0x1000
STOP_WORD = 0xEAFFFFFE  # b .

assert FIRST_SLOT + SLOTS * SLOT_SIZE + PAD <= CODE + CODE_SIZE
