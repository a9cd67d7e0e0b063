/* Packets as they might come from outside: the same sequence in every run. */

#include "demo.h"

static uint32_t state = 0x2545f491u;

static uint32_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static size_t finish(uint8_t *buffer, uint8_t type, size_t payload_length)
{
    size_t covered = PACKET_HEADER + payload_length;
    buffer[0] = type;
    buffer[1] = 0;
    buffer[2] = (uint8_t)(payload_length >> 8);
    buffer[3] = (uint8_t)payload_length;
    uint32_t crc = crc32(buffer, covered);
    for (int i = 0; i < 4; i++)
        buffer[covered + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    return covered + PACKET_TRAILER;
}

static size_t make_simple(uint8_t *buffer, uint32_t random)
{
    static const uint8_t usual[16] = {
        PACKET_DATA, PACKET_DATA, PACKET_DATA, PACKET_DATA, PACKET_ACK,  PACKET_ACK,    PACKET_ACK,  PACKET_PING,
        PACKET_PING, PACKET_LOG,  PACKET_LOG,  PACKET_LOG,  PACKET_TIME, PACKET_CONFIG, PACKET_TIME, PACKET_RESET,
    };
    size_t length = random >> 8 & 31;
    for (size_t i = 0; i < length; i++)
        buffer[PACKET_HEADER + i] = (uint8_t)(random >> (i & 15));
    return finish(buffer, usual[random & 15], length);
}

/* Writes one packet, sometimes a container, sometimes a damaged one; returns its length. */
PROBED size_t make_packet(uint8_t *buffer)
{
    uint32_t random = next_random();
    size_t length;
    if ((random >> 16 & 15) == 0) {
        size_t inner = make_simple(buffer + PACKET_HEADER, random);
        inner += make_simple(buffer + PACKET_HEADER + inner, next_random());
        length = finish(buffer, PACKET_CONTAINER, inner);
    } else {
        length = make_simple(buffer, random);
    }
    switch (random >> 20 & 127) {
    case 0: /* a bit is wrong */
        buffer[random >> 27 & 3] ^= 1;
        break;
    case 1: /* the end is missing */
        length -= 3;
        break;
    case 2: /* a type that is yet to be invented */
        length = finish(buffer, PACKET_TYPES + 3, 4);
        break;
    default:
        break;
    }
    return length;
}
