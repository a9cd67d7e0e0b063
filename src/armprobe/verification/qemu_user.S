@ Runs every case of a table twice, unprobed and probed, and writes what each run left to standard output.
@ A run ends at an instruction that is undefined, or faults: the signal handler gets the registers, and goes on.
@ qemu_user.py defines CASES, COUNT, CASE_SIZE, REGION_SIZE, and CODE, DATA, STACK with what they hold before.

        .syntax unified
        .arch   armv7-a
        .fpu    neon
        .arm

@ a case: address; where the runs begin, with bit 0 set in T32; the site, and what stands there in each run;
@ state: cpsr, r0-r14, fpscr, d0-d31
        .set    ADDRESS, 0
        .set    ENTRIES, 4
        .set    SITE, 12
        .set    UNPROBED, 16
        .set    PROBED, 20
        .set    STATE, 24
        .set    STATE_SP, STATE + 56

@ a result: signal, fault address, r0-r15, cpsr, fpscr, data hash, code hash, stack hash, d0-d31, 128 bytes below SP
        .set    RESULT_SIZE, 4 * 23 + 256 + 128

        .global _start
_start: ldr     sp, =stack_top
        ldr     r0, =alternate
        mov     r1, #0
        mov     r7, #186                @ sigaltstack
        svc     #0
        ldr     r8, =signals
1:      ldrb    r0, [r8], #1
        cmp     r0, #0
        beq     2f
        ldr     r1, =action
        mov     r2, #0
        mov     r3, #8
        mov     r7, #174                @ rt_sigaction
        svc     #0
        b       1b
2:      ldr     r10, =CASES             @ r10: case, r11: cases left, r9: 0 unprobed, 1 probed
        ldr     r11, =COUNT
        mov     r9, #0

run:    ldr     r0, =DATA               @ memory as it was
        ldr     r1, =DATA_BEFORE
        ldr     r2, =REGION_SIZE
        bl      copy
        ldr     r0, =STACK
        ldr     r1, =STACK_BEFORE
        ldr     r2, =REGION_SIZE
        bl      copy
        ldr     r6, [r10, #ADDRESS]
        bl      window
        bl      copy
        cmp     r9, #0
        ldr     r1, [r10, #SITE]
        ldrne   r0, [r10, #PROBED]
        strne   r0, [r1]
        ldr     r0, =progress
        stm     r0, {r9-r11}
        add     r1, r10, #ENTRIES
        ldr     r1, [r1, r9, lsl #2]
        ldr     r0, =target
        str     r1, [r0]
        add     lr, r10, #STATE         @ the state
        add     r0, lr, #68
        vldm    r0!, {d0-d15}
        vldm    r0, {d16-d31}
        ldr     r0, [lr, #64]
        vmsr    fpscr, r0
        ldr     r0, [lr], #4
        msr     cpsr_fs, r0
        clrex
        ldm     lr, {r0-r12}
        ldr     sp, [lr, #52]
        ldr     lr, [lr, #56]
        b       enter

handler:                                @ r0: signal, r1: siginfo, r2: ucontext
        ldr     r3, =result + 4 * 23
        vstm    r3!, {d0-d15}
        vstm    r3, {d16-d31}
        vmrs    r5, fpscr
        ldr     r4, =result
        str     r5, [r4, #76]
        ldr     r5, [r1, #12]           @ si_addr
        stm     r4!, {r0, r5}
        add     r2, r2, #32             @ uc_mcontext.arm_r0
        mov     r5, #17
1:      ldr     r3, [r2], #4
        str     r3, [r4], #4
        subs    r5, r5, #1
        bne     1b
        ldr     sp, =stack_top
        ldr     r0, =progress
        ldm     r0, {r9-r11}
        ldr     r6, [r10, #ADDRESS]
        ldr     r1, [r10, #SITE]        @ the probe is no difference
        cmp     r9, #0
        ldrne   r0, [r10, #UNPROBED]
        strne   r0, [r1]
        ldr     r4, =result + 80
        ldr     r0, =DATA
        ldr     r2, =REGION_SIZE
        bl      hash
        bl      window
        bl      hash
        ldr     r0, [r10, #STATE_SP]  @ SP of the state
        ldr     r2, =STACK + REGION_SIZE
        sub     r2, r2, r0
        bl      hash
        ldr     r1, [r10, #STATE_SP]
        sub     r1, r1, #128
        add     r0, r4, #256
        mov     r2, #128
        bl      copy
        bl      window
        bl      copy
        mov     r0, #1
        ldr     r1, =result
        ldr     r2, =RESULT_SIZE
        mov     r7, #4                  @ write
        svc     #0
        eors    r9, r9, #1
        bne     run
        ldr     r0, =CASE_SIZE
        add     r10, r10, r0
        subs    r11, r11, #1
        bne     run
        mov     r0, #0
        mov     r7, #1                  @ exit
        svc     #0

window: bic     r0, r6, #15             @ what an instruction at r6 reaches: r0 to r0 + r2; r1: as it was
        sub     r0, r0, #0x1100
        ldr     r1, =CODE_BEFORE - CODE
        add     r1, r1, r0
        ldr     r2, =0x2200
        bx      lr

copy:   ldr     r3, [r1], #4            @ r2 bytes from r1 to r0
        str     r3, [r0], #4
        subs    r2, r2, #4
        bne     copy
        bx      lr

hash:   mov     r3, #0                  @ of r2 bytes at r0, to where r4 points
        mov     r5, #33
1:      ldr     r7, [r0], #4
        mla     r3, r3, r5, r7
        subs    r2, r2, #4
        bne     1b
        str     r3, [r4], #4
        bx      lr

        .ltorg
signals: .byte  4, 5, 7, 8, 11, 0       @ ILL, TRAP, BUS, FPE, SEGV
        .balign 4
action: .word   handler, 0x48000004, 0, 0, 0    @ SA_NODEFER | SA_ONSTACK | SA_SIGINFO
alternate: .word alternate_stack, 0, 0x4000

        .balign 4096                    @ written from here on: no code on these pages but the jump
        .space  4092
enter:  ldr     pc, target              @ the last word of its page
target: .word   0
progress: .space 12
result: .space  RESULT_SIZE
        .balign 8
alternate_stack: .space 0x4000
        .space  0x1000
stack_top: .space 8
