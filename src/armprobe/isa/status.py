"""What the tables of both instruction sets say of status registers, modes and banked registers, as text of their rows.

A change of mode changes which registers r8 to lr are. Nothing tells whether it happens (User mode ignores it), so these
registers, BANKED, stand as read and as written.
"""

BANKED = " r8 r9 r10 r11 r12 sp lr"
NZCVQGE = "NZCVQGE"
MASKED = "NZCVQ if mask & 2; GE if mask & 1"
BYTE_ORDER = "writing the x field of CPSR may change the byte order of data accesses under the detour"
#: SYSm values that name no banked register (DDI 0406C B9.2.3)
NO_BANKED = "sysm in (7, 15, 24, 25, 26, 27)"
NO_BANKED_SPSR = "sysm not in (14, 16, 18, 20, 22, 28, 30)"
SYSM = "sysm = M << 4 | M1"
#: modes with an SP of their own that SRS may name, and all modes (DDI 0406C B1.3.1)
NO_STACK_MODE = "mode not in (16, 17, 18, 19, 22, 23, 27, 31)"
NO_MODE = "mode not in (16, 17, 18, 19, 22, 23, 26, 27, 31)"
