/* Parses as many packets as the command line says (1000 if it says nothing) and prints what happened. */

#include "demo.h"

static const char *const type_names[PACKET_TYPES] = {
    "ping", "data", "ack", "log", "config", "time", "reset", "container",
};

_Noreturn void firmware_main(uint32_t iterations)
{
    static uint8_t buffer[PACKET_MAXIMUM];
    uint32_t bytes = 0, checksum = 0, disagreements = 0;

    for (uint32_t i = 0; i < iterations; i++) {
        size_t length = make_packet(buffer);
        bytes += length;
        parse_packet(buffer, length);
        checksum = (checksum << 1 | checksum >> 31) ^ crc32(buffer, length < 8 ? length : 8);
        if (i % 64 == 0)
            disagreements += crc32(buffer, length) != crc32_bitwise(buffer, length);
        if (i % 4 == 0)
            scheduler_tick();
    }

    uint32_t all_settings = 0;
    for (size_t i = 0; i < SETTINGS; i++)
        all_settings = (all_settings << 3 | all_settings >> 29) ^ settings[i];

    print_number("packets", iterations);
    print_number("bytes", bytes);
    print_number("parse_packet", packet_statistics.calls);
    for (size_t type = 0; type < PACKET_TYPES; type++)
        print_number(type_names[type], packet_statistics.by_type[type]);
    print_number("errors", packet_statistics.errors);
    print_number("payload_bytes", packet_statistics.payload_bytes);
    print_hex("timestamp", (uint32_t)(packet_statistics.timestamp >> 32) ^ (uint32_t)packet_statistics.timestamp);
    print_hex("settings", all_settings);
    print_number("allocations", allocator_statistics.allocations);
    print_number("frees", allocator_statistics.frees);
    print_number("allocation_failures", allocator_statistics.failures);
    print_number("bytes_in_use", allocator_statistics.bytes_in_use);
    print_number("bytes_peak", allocator_statistics.bytes_peak);
    print_number("ring_dropped", ring_dropped);
    print_number("ticks", ticks);
    for (size_t i = 0; i < task_count; i++)
        print_number(tasks[i].name, tasks[i].runs);
    print_number("drained", drained);
    print_number("crc32", crc32_calls);
    print_hex("crc", checksum);
    print_number("crc_disagreements", disagreements);
    leave();
}
