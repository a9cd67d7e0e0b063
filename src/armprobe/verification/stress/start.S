/* Every processor starts here, and the exceptions that the stress is about end here. */
        .syntax unified
        .arch_extension virt
        .set    PROCESSORS, 4
        .set    STACK, 4096

        .section .text.start, "ax"
        .global start
start:  mrc     p15, 0, r4, c0, c0, 5           @ MPIDR
        and     r4, r4, #3
        ldr     r0, =stacks
        mov     r1, #STACK
        add     r2, r4, #1
        mla     r0, r1, r2, r0                  @ the end of this processor's stack
        cps     #0x12                           @ IRQ
        sub     sp, r0, #3072
        cps     #0x17                           @ Abort
        sub     sp, r0, #2560
        cps     #0x1f                           @ System
        mov     sp, r0
        ldr     r0, =vectors
        mcr     p15, 0, r0, c12, c0, 0          @ VBAR
        isb
        mov     r0, r4
        cmp     r4, #0
        beq     patcher
        b       worker

        .global call_psci
call_psci:                                      @ PSCI 1.0 5.1: the conduit of QEMU's virt machine is HVC
        hvc     #0
        bx      lr

        .balign 32
vectors:
        b       .
        b       unexpected                      @ undefined instruction
        b       unexpected
        b       prefetch_abort
        b       unexpected                      @ data abort
        b       .
        b       irq
        b       .

/* A breakpoint: at the site, and only there, the pass goes on in the detour. The table is asked, not the word. */
prefetch_abort:
        push    {r0, r1}
        ldr     r0, =trap_site
        ldr     r0, [r0]
        sub     r1, lr, #4
        cmp     r0, r1
        ldreq   lr, =trap_entry
        ldreq   lr, [lr]
        pop     {r0, r1}
        movseq  pc, lr                          @ the flags come back with SPSR
unexpected:
        ldr     r0, =unexpected_exceptions
        mov     r1, #1
        str     r1, [r0]
        b       .

/* The interrupt that stands for a context synchronisation event: the exception and the return from it are two. */
irq:    sub     lr, lr, #4
        push    {r0-r3, r12, lr}
        bl      on_interrupt
        ldm     sp!, {r0-r3, r12, pc}^

/* u32 pass(u32 number, u32 displaced, u32 *flags): one pass of the site, which is an `add r4, r4, #1`.
 * r5 is the number of the worker, which its own counter asks for; r6 to r11 must come back as they are. */
        .global pass, site
pass:   push    {r4-r11, lr}
        mov     r5, r0
        mov     r4, r1
        eor     r6, r1, #0x66
        eor     r7, r1, #0x77
        eor     r10, r1, #0xaa
        eor     r11, r1, #0xbb
        mov     r9, r2
        movs    r8, r1, lsl #31                 @ N and Z change with each pass
        mrs     r8, cpsr
        eor     r0, r1, #0x10
        eor     r2, r1, #0x12
        eor     r3, r1, #0x13
        eor     r12, r1, #0x1c
        bl      passed
        sub     r1, r4, #1                      @ as it was, if r4 is what it should be
        mrs     lr, cpsr
        eor     lr, lr, r8
        str     lr, [r9]
        eor     r6, r6, #0x66
        eor     r7, r7, #0x77
        eor     r10, r10, #0xaa
        eor     r11, r11, #0xbb
        eor     r0, r0, #0x10
        eor     r2, r2, #0x12
        eor     r3, r3, #0x13
        eor     r12, r12, #0x1c
        eor     r0, r0, r1
        eor     r2, r2, r1
        eor     r3, r3, r1
        eor     r12, r12, r1
        eor     r6, r6, r1
        eor     r7, r7, r1
        eor     r10, r10, r1
        eor     r11, r11, r1
        orr     r0, r0, r2
        orr     r0, r0, r3
        orr     r0, r0, r12
        orr     r0, r0, r6
        orr     r0, r0, r7
        orr     r0, r0, r10
        orr     r0, r0, r11
        str     r0, [r9, #4]
        mov     r0, r4
        pop     {r4-r11, pc}
passed: mov     r1, r1
site:   add     r4, r4, #1
        bx      lr

        .section .bss
        .balign 8
stacks: .space  PROCESSORS * STACK
