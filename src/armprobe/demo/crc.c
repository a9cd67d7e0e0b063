/* CRC-32 (reflected, polynomial 0xedb88320), by table and bit by bit. */

#include "demo.h"

#define POLYNOMIAL 0xedb88320u

uint32_t crc32_calls;

PROBED uint32_t crc32_bitwise(const uint8_t *data, size_t length)
{
    uint32_t crc = ~0u;
    while (length--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
    }
    return ~crc;
}

PROBED uint32_t crc32(const uint8_t *data, size_t length)
{
    static uint32_t table[256];
    crc32_calls++;
    if (table[255] == 0) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t crc = byte;
            for (int bit = 0; bit < 8; bit++)
                crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
            table[byte] = crc;
        }
    }
    uint32_t crc = ~0u;
    while (length--)
        crc = crc >> 8 ^ table[(crc ^ *data++) & 0xff];
    return ~crc;
}
