/* The sample firmware of armprobe: a packet parser, an allocator, a CRC, a ring buffer and a scheduler tick.
 *
 * It is written to be probed: its functions stay out of line, and what it prints at the end is the ground truth that
 * the counts of probes are compared with. */

#ifndef DEMO_H
#define DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBED __attribute__((noinline, noclone))

/* semihosting.c */
void print(const char *text);
void print_number(const char *name, uint32_t value);
void print_hex(const char *name, uint32_t value);
uint32_t argument(uint32_t otherwise);
_Noreturn void leave(void);

/* crc.c */
extern uint32_t crc32_calls;
uint32_t crc32(const uint8_t *data, size_t length);
uint32_t crc32_bitwise(const uint8_t *data, size_t length);

/* allocator.c */
struct allocator_statistics {
    uint32_t allocations;
    uint32_t frees;
    uint32_t failures;
    uint32_t bytes_in_use;
    uint32_t bytes_peak;
};
extern struct allocator_statistics allocator_statistics;
void *malloc(size_t size);
void free(void *pointer);

/* ring.c: bytes in, bytes out; one producer, one consumer */
#define RING_SIZE 256u
extern uint32_t ring_dropped;
bool ring_put(uint8_t byte);
bool ring_get(uint8_t *byte);
uint32_t ring_used(void);

/* packet.c
 *
 * A packet is: type, flags, length of the payload (16 bits, big-endian), payload, CRC-32 of all before it
 * (big-endian). */
enum packet_type {
    PACKET_PING,
    PACKET_DATA,
    PACKET_ACK,
    PACKET_LOG,
    PACKET_CONFIG,
    PACKET_TIME,
    PACKET_RESET,
    PACKET_CONTAINER, /* its payload is packets */
    PACKET_TYPES,
};
#define PACKET_HEADER 4u
#define PACKET_TRAILER 4u
#define PACKET_MAXIMUM 256u
enum packet_error { PACKET_SHORT = -1, PACKET_BAD_CRC = -2, PACKET_UNKNOWN = -3, PACKET_TOO_DEEP = -4 };
struct packet_statistics {
    uint32_t calls;
    uint32_t by_type[PACKET_TYPES];
    uint32_t errors;
    uint32_t payload_bytes;
    uint64_t timestamp;
};
extern struct packet_statistics packet_statistics;
#define SETTINGS 16u
extern uint16_t settings[SETTINGS];
int parse_packet(const uint8_t *buffer, size_t length);
void expire_blocks(uint32_t limit);

/* generator.c */
size_t make_packet(uint8_t *buffer);

/* scheduler.c */
struct task {
    const char *name;
    void (*run)(void);
    uint32_t period;
    uint32_t due;
    uint32_t runs;
};
extern struct task tasks[];
extern const size_t task_count;
extern uint32_t ticks;
extern uint32_t drained; /* sum of the bytes taken out of the ring */
void scheduler_tick(void);

#endif
