/* Functions whose arguments and variables are looked at by name, at every instruction.
 *
 * Arguments never change: whatever debug information says of them, anywhere in a function, is what they were at its
 * entry. Every kind of argument is there: narrow, wide, split between registers and the stack, by value, by address. */

#include "demo.h"

enum color { RED = -1, GREEN, BLUE = 7 };
enum __attribute__((packed)) tiny { NONE, SOME = 200 };

struct header {
    uint8_t type;
    uint8_t version : 3;
    uint8_t urgent : 1;
    int8_t level : 4;
    uint16_t length;
};

struct message {
    struct header hdr;
    struct message *next;
    enum color color;
    union {
        uint32_t word;
        uint8_t bytes[4];
    };
    struct {
        unsigned low : 5;
        signed middle : 9;
        unsigned long long far : 33;
        bool flag;
    };
    char name[12];
    const char *title;
    int16_t table[2][3];
    uint64_t stamp;
};

struct pair { uint32_t first, second; };
struct small { uint16_t a; uint8_t b; };
struct triple { int32_t x, y, z; };

volatile uint32_t sink;
struct message messages[4];
uint64_t total;
static uint32_t calls;

static void use(const void *pointer)
{
    sink += *(volatile const uint8_t *)pointer;
}

PROBED uint32_t narrow(const uint8_t a, const int8_t b, const uint16_t c, const bool d)
{
    uint32_t sum = a;
    for (int i = 0; i < 3; i++)
        sum = sum * 31 + (uint32_t)(b * i);
    sink = sum;
    return sum + c + d;
}

PROBED uint64_t wide(const uint32_t a, const uint64_t b, const int64_t c, const uint16_t d)
{
    const uint64_t product = b * (uint64_t)c;
    sink = a;
    return product + a + d;
}

PROBED int32_t by_value(const struct pair p, const struct small s, const struct triple t, const uint32_t last)
{
    const int32_t difference = (int32_t)p.first - t.x;
    sink = s.a + s.b + (uint32_t)difference;
    return difference + t.y + t.z + (int32_t)(last + p.second);
}

PROBED uint32_t addressed(const uint32_t a, const uint8_t b, const uint32_t c)
{
    use(&a);
    use(&b);
    sink += c;
    use(&a);
    return a + b;
}

PROBED uint32_t follow(const struct message *const m, const enum color wanted, const enum tiny tiny)
{
    uint32_t found = 0;
    for (const struct message *at = m; at; at = at->next)
        found += at->color == wanted ? at->hdr.length : 1;
    return found + tiny;
}

static inline uint32_t inlined(const struct message *const pointer, const uint32_t factor)
{
    const uint32_t scaled = pointer->word * factor;
    sink = scaled;
    return scaled + pointer->hdr.type;
}

PROBED uint32_t outer(const struct message *const m, const uint32_t factor)
{
    uint32_t result = inlined(m, factor);
    if (m->next)
        result ^= inlined(m->next, factor + 1);
    return result;
}

PROBED uint32_t recursive(const uint32_t depth, const uint32_t seed)
{
    const uint32_t here = seed * 17 + depth;
    if (!depth)
        return here;
    return recursive(depth - 1, here) + here;
}

PROBED uint32_t stacked(const uint32_t a, const uint32_t b, const uint32_t c, const uint32_t d, const uint8_t e,
                        const uint64_t f, const int16_t g)
{
    volatile uint8_t buffer[40];
    for (uint32_t i = 0; i < sizeof buffer; i++)
        buffer[i] = (uint8_t)(a + i);
    sink = b + c + d;
    calls++;
    return buffer[e % sizeof buffer] + (uint32_t)(f >> 32) + (uint32_t)g;
}

PROBED uint32_t variadic(const uint32_t count, ...)
{
    __builtin_va_list list;
    uint32_t sum = 0;
    __builtin_va_start(list, count);
    for (uint32_t i = 0; i < count; i++)
        sum += __builtin_va_arg(list, uint32_t);
    __builtin_va_end(list);
    return sum;
}

PROBED struct triple made(const struct pair p, const int32_t z)
{
    struct triple t = { (int32_t)p.first, (int32_t)p.second, z };
    sink = p.first;
    return t;
}

static uint32_t state = 12345;
static uint32_t next(void)
{
    state = state * 1664525u + 1013904223u;
    return state >> 3;
}

_Noreturn void firmware_main(uint32_t iterations)
{
    for (uint32_t i = 0; i < 4; i++) {
        struct message *m = &messages[i];
        m->hdr = (struct header){ (uint8_t)(10 + i), i, i & 1, (int8_t)(i - 2), (uint16_t)(100 * i) };
        m->next = i < 3 ? m + 1 : NULL;
        m->color = i % 3 == 0 ? RED : i % 3 == 1 ? GREEN : BLUE;
        m->word = 0x01020304u * (i + 1);
        m->low = 3 * i + 1;
        m->middle = (int)i - 2;
        m->far = 0x123456789ull + i;
        m->flag = i & 1;
        m->name[0] = (char)('a' + i);
        m->name[1] = 'z';
        m->title = i & 1 ? "odd" : "even";
        for (int j = 0; j < 6; j++)
            m->table[j / 3][j % 3] = (int16_t)(j * 100 - 300 + (int)i);
        m->stamp = 0xfedcba9876543210ull + i;
    }
    for (uint32_t i = 0; i < iterations; i++) {
        const uint32_t x = next(), y = next();
        total += narrow((uint8_t)x, (int8_t)y, (uint16_t)(x >> 4), x & 1);
        total += wide(x, (uint64_t)y << 20 | x, -(int64_t)x, (uint16_t)y);
        total += (uint32_t)by_value((struct pair){ x, y }, (struct small){ (uint16_t)x, (uint8_t)y },
                                    (struct triple){ (int32_t)y, -(int32_t)x, 7 }, x ^ y);
        total += addressed(x, (uint8_t)y, y);
        total += follow(&messages[x & 3], (enum color)(int)(x % 3 == 0 ? RED : BLUE), y & 1 ? SOME : NONE);
        total += outer(&messages[y & 3], x);
        total += recursive(x & 3, y);
        total += stacked(x, y, x + y, x - y, (uint8_t)x, (uint64_t)x << 24, (int16_t)y);
        total += variadic(3, x, y, x);
        total += (uint32_t)made((struct pair){ x, y }, (int32_t)x).z;
    }
    print_hex("total", (uint32_t)total ^ (uint32_t)(total >> 32));
    print_number("calls", calls);
    leave();
}
