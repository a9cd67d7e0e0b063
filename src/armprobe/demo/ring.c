/* A ring of bytes. The counters run freely; the count of lost bytes is atomic, as an interrupt may lose some too. */

#include "demo.h"

uint32_t ring_dropped;
static uint8_t ring[RING_SIZE];
static uint32_t head, tail;

PROBED uint32_t ring_used(void)
{
    return head - tail;
}

PROBED bool ring_put(uint8_t byte)
{
    if (head - tail == RING_SIZE) {
        __atomic_fetch_add(&ring_dropped, 1, __ATOMIC_RELAXED);
        return false;
    }
    ring[head % RING_SIZE] = byte;
    __atomic_store_n(&head, head + 1, __ATOMIC_RELEASE);
    return true;
}

PROBED bool ring_get(uint8_t *byte)
{
    if (head == tail)
        return false;
    *byte = ring[tail % RING_SIZE];
    __atomic_store_n(&tail, tail + 1, __ATOMIC_RELEASE);
    return true;
}
