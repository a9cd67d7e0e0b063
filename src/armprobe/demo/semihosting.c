/* Printing, the argument and the end, through Arm semihosting: SVC 0x123456, operation in r0, parameter in r1. */

#include "demo.h"

enum { SYS_WRITE0 = 0x04, SYS_GET_CMDLINE = 0x15, SYS_EXIT = 0x18 };
#define ADP_STOPPED_APPLICATION_EXIT 0x20026u

static uint32_t semihosting(uint32_t operation, uintptr_t parameter)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = parameter;
    __asm__ volatile("svc 0x123456" : "+r"(r0) : "r"(r1) : "lr", "memory");
    return r0;
}

PROBED void print(const char *text)
{
    semihosting(SYS_WRITE0, (uintptr_t)text);
}

static void print_line(const char *name, const char *value)
{
    print(name);
    print(" ");
    print(value);
    print("\n");
}

PROBED void print_number(const char *name, uint32_t value)
{
    char digits[11];
    char *first = digits + sizeof digits - 1;
    *first = '\0';
    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    print_line(name, first);
}

PROBED void print_hex(const char *name, uint32_t value)
{
    char digits[9];
    for (int position = 7; position >= 0; position--, value >>= 4)
        digits[position] = "0123456789abcdef"[value & 15];
    digits[8] = '\0';
    print_line(name, digits);
}

/* The number that ends the command line: some hosts put the name of the program before it, some do not. */
uint32_t argument(uint32_t otherwise)
{
    char line[128];
    struct {
        char *buffer;
        uint32_t size;
    } block = {line, sizeof line};

    if (semihosting(SYS_GET_CMDLINE, (uintptr_t)&block) != 0 || block.size >= sizeof line)
        return otherwise;
    line[block.size] = '\0';
    char *word = line;
    for (char *c = line; *c; c++)
        if (*c == ' ')
            word = c + 1;
    uint32_t number = 0;
    for (char *c = word; *c; c++) {
        if (*c < '0' || *c > '9')
            return otherwise;
        number = number * 10 + (uint32_t)(*c - '0');
    }
    return *word ? number : otherwise;
}

_Noreturn void leave(void)
{
    for (;;)
        semihosting(SYS_EXIT, ADP_STOPPED_APPLICATION_EXIT);
}
