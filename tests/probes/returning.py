"""A small program whose functions return in all ways, for return probes."""

from __future__ import annotations

BASE = 0x8000
END, FACT, OUTER, INNER, TAIL, LOOP = (BASE + offset for offset in (0x40, 0x44, 0x64, 0x74, 0x7C, 0x84))
CATCH, THROWER, SWITCH = (BASE + offset for offset in (0x94, 0xA8, 0xC4))
FUNCTIONS = (FACT, OUTER, INNER, TAIL, LOOP, CATCH, THROWER, SWITCH)
THROWS = 10
#: `fact` recurs, `outer` calls `inner` and jumps to `tail`, `loop` jumps to its own first instruction, `thrower` leaves
#: its caller as well one time in four, `switch` comes back on another stack. END is reached at last.
WORDS = (
    0xE3A00005,  # 8000 mov r0, #5
    0xEB00000E,  # 8004 bl 8044 <fact>
    0xE1A04000,  # 8008 mov r4, r0
    0xE3A00003,  # 800c mov r0, #3
    0xEB000013,  # 8010 bl 8064 <outer>
    0xE1A05000,  # 8014 mov r5, r0
    0xE3A00000,  # 8018 mov r0, #0
    0xEB000018,  # 801c bl 8084 <loop>
    0xE1A06000,  # 8020 mov r6, r0
    0xE3A07028,  # 8024 mov r7, #40
    0xEB000019,  # 8028 bl 8094 <catch>
    0xE2577001,  # 802c subs r7, r7, #1
    0x1AFFFFFC,  # 8030 bne 8028 <again>
    0xEB000022,  # 8034 bl 80c4 <switch>
    0xEB000021,  # 8038 bl 80c4 <switch>
    0xEB000020,  # 803c bl 80c4 <switch>
    0xE320F000,  # 8040 nop {0}
    0xE3500001,  # 8044 cmp r0, #1
    0xD12FFF1E,  # 8048 bxle lr
    0xE92D4010,  # 804c push {r4, lr}
    0xE1A04000,  # 8050 mov r4, r0
    0xE2400001,  # 8054 sub r0, r0, #1
    0xEBFFFFF9,  # 8058 bl 8044 <fact>
    0xE0000094,  # 805c mul r0, r4, r0
    0xE8BD8010,  # 8060 pop {r4, pc}
    0xE92D4010,  # 8064 push {r4, lr}
    0xEB000001,  # 8068 bl 8074 <inner>
    0xE8BD4010,  # 806c pop {r4, lr}
    0xEA000001,  # 8070 b 807c <tail>
    0xE2800001,  # 8074 add r0, r0, #1
    0xE12FFF1E,  # 8078 bx lr
    0xE1A00200,  # 807c lsl r0, r0, #4
    0xE12FFF1E,  # 8080 bx lr
    0xE2800001,  # 8084 add r0, r0, #1
    0xE350000A,  # 8088 cmp r0, #10
    0x1AFFFFFC,  # 808c bne 8084 <loop>
    0xE12FFF1E,  # 8090 bx lr
    0xE92D4010,  # 8094 push {r4, lr}
    0xE1A0A00D,  # 8098 mov sl, sp
    0xE1A00007,  # 809c mov r0, r7
    0xEB000000,  # 80a0 bl 80a8 <thrower>
    0xE8BD8010,  # 80a4 pop {r4, pc}
    0xE92D4010,  # 80a8 push {r4, lr}
    0xE3100003,  # 80ac tst r0, #3
    0x0A000000,  # 80b0 beq 80b8 <throw>
    0xE8BD8010,  # 80b4 pop {r4, pc}
    0xE24DD040,  # 80b8 sub sp, sp, #64
    0xE1A0D00A,  # 80bc mov sp, sl
    0xE8BD8010,  # 80c0 pop {r4, pc}
    0xE92D4010,  # 80c4 push {r4, lr}
    0xE59F102C,  # 80c8 ldr r1, [pc, #44]
    0xE5912000,  # 80cc ldr r2, [r1]
    0xE3520000,  # 80d0 cmp r2, #0
    0x0A000002,  # 80d4 beq 80e4 <first>
    0xE581D000,  # 80d8 str sp, [r1]
    0xE1A0D002,  # 80dc mov sp, r2
    0xE8BD8010,  # 80e0 pop {r4, pc}
    0xE581D000,  # 80e4 str sp, [r1]
    0xE59F2010,  # 80e8 ldr r2, [pc, #16]
    0xE1A0D002,  # 80ec mov sp, r2
    0xE2899001,  # 80f0 add r9, r9, #1
    0xEBFFFFF2,  # 80f4 bl 80c4 <switch>
    0xEAFFFFFC,  # 80f8 b 80f0 <coroutine>
    0x00008104,  # 80fc .word 0x00008104
    0x00008188,  # 8100 .word 0x00008188
    *([0] * 0x21),  # 8104 the other SP, and its stack
)
