/* The first instructions, and the functions that a compiler may call without being asked. */

#include "demo.h"

_Noreturn void firmware_main(uint32_t iterations);
extern uint8_t bss_start[], bss_end[];

void *memset(void *to, int value, size_t length)
{
    uint8_t *byte = to;
    while (length--)
        *byte++ = (uint8_t)value;
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    while (length--)
        *out++ = *in++;
    return to;
}

__attribute__((used)) static _Noreturn void start_c(void)
{
    memset(bss_start, 0, (size_t)(bss_end - bss_start));
    firmware_main(argument(1000));
}

__attribute__((naked, section(".text.start"))) void _start(void)
{
    __asm__("ldr sp, =stack_top\n\t"
            "mov fp, #0\n\t"
            "mov lr, #0\n\t"
            "b start_c\n\t"
            ".ltorg");
}
