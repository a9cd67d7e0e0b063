/* A scheduler without threads: at each tick, the tasks that are due run to their end, called through a table. */

#include "demo.h"

uint32_t ticks;
uint32_t drained;

static void task_drain_ring(void)
{
    uint8_t byte;
    while (ring_get(&byte))
        drained += byte;
}

static void task_expire(void)
{
    expire_blocks(8);
}

static void task_watch(void)
{
    if (ring_used() > RING_SIZE / 2)
        task_drain_ring();
}

struct task tasks[] = {
    {"drain_ring", task_drain_ring, 16, 16, 0},
    {"expire", task_expire, 50, 50, 0},
    {"watch", task_watch, 4, 4, 0},
};
const size_t task_count = sizeof tasks / sizeof *tasks;

PROBED void scheduler_tick(void)
{
    ticks++;
    for (struct task *task = tasks; task < tasks + task_count; task++) {
        if (task->due != ticks)
            continue;
        task->due += task->period;
        task->runs++;
        task->run();
    }
}
