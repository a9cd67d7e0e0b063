/* The packet parser. Its switch becomes a jump table, and containers make it call itself. */

#include "demo.h"

#define DEEPEST 3
#define BLOCKS 32u

struct packet_statistics packet_statistics;
uint16_t settings[SETTINGS];
static void *blocks[BLOCKS]; /* copies of PACKET_DATA payloads, oldest first; a ring */
static uint32_t block_first, block_count;
static int depth;

static uint32_t big_endian_32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

PROBED void expire_blocks(uint32_t limit)
{
    while (block_count > limit) {
        free(blocks[block_first % BLOCKS]);
        block_first++;
        block_count--;
    }
}

static PROBED void handle_data(const uint8_t *payload, size_t length)
{
    uint8_t *copy = malloc(length);
    if (!copy)
        return;
    for (size_t i = 0; i < length; i++)
        copy[i] = payload[i];
    expire_blocks(BLOCKS - 1);
    blocks[(block_first + block_count++) % BLOCKS] = copy;
}

static PROBED void handle_ack(const uint8_t *payload, size_t length)
{
    uint32_t acknowledged = length ? payload[0] & 3u : 1;
    expire_blocks(block_count > acknowledged ? block_count - acknowledged : 0);
}

static PROBED void handle_log(const uint8_t *payload, size_t length)
{
    while (length--)
        ring_put(*payload++);
}

static PROBED void handle_config(const uint8_t *payload, size_t length)
{
    for (; length >= 3; payload += 3, length -= 3)
        settings[payload[0] % SETTINGS] = (uint16_t)(payload[1] << 8 | payload[2]);
}

static PROBED void handle_time(const uint8_t *payload, size_t length)
{
    if (length >= 4)
        packet_statistics.timestamp += big_endian_32(payload);
}

static PROBED void handle_reset(void)
{
    for (size_t i = 0; i < SETTINGS; i++)
        settings[i] = 0;
}

static PROBED int handle_container(const uint8_t *payload, size_t length)
{
    while (length) {
        int used = parse_packet(payload, length);
        if (used < 0)
            return used;
        payload += used;
        length -= (size_t)used;
    }
    return 0;
}

static PROBED int fail(enum packet_error error)
{
    packet_statistics.errors++;
    return error;
}

/* Returns the bytes the packet occupies, or an enum packet_error. */
PROBED int parse_packet(const uint8_t *buffer, size_t length)
{
    packet_statistics.calls++;
    if (length < PACKET_HEADER + PACKET_TRAILER)
        return fail(PACKET_SHORT);
    size_t payload_length = (size_t)buffer[2] << 8 | buffer[3];
    size_t total = PACKET_HEADER + payload_length + PACKET_TRAILER;
    if (length < total)
        return fail(PACKET_SHORT);
    const uint8_t *payload = buffer + PACKET_HEADER;
    if (crc32(buffer, total - PACKET_TRAILER) != big_endian_32(payload + payload_length))
        return fail(PACKET_BAD_CRC);

    switch (buffer[0]) {
    case PACKET_PING:
        break;
    case PACKET_DATA:
        handle_data(payload, payload_length);
        break;
    case PACKET_ACK:
        handle_ack(payload, payload_length);
        break;
    case PACKET_LOG:
        handle_log(payload, payload_length);
        break;
    case PACKET_CONFIG:
        handle_config(payload, payload_length);
        break;
    case PACKET_TIME:
        handle_time(payload, payload_length);
        break;
    case PACKET_RESET:
        handle_reset();
        break;
    case PACKET_CONTAINER:
        if (depth == DEEPEST)
            return fail(PACKET_TOO_DEEP);
        depth++;
        int outcome = handle_container(payload, payload_length);
        depth--;
        if (outcome < 0)
            return outcome;
        break;
    default:
        return fail(PACKET_UNKNOWN);
    }
    packet_statistics.by_type[buffer[0]]++;
    packet_statistics.payload_bytes += payload_length;
    return (int)total;
}
