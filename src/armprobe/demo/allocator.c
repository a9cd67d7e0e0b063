/* malloc and free with size classes: each class has a list of free blocks, and takes new ones from one pool. */

#include "demo.h"

#define CLASSES 5u
#define SMALLEST 16u /* bytes in a block of class 0; each class doubles it */
#define POOL_SIZE (32u * 1024u)

struct block {
    uint32_t class;
    struct block *next; /* while free; the user's bytes start here */
};

struct allocator_statistics allocator_statistics;
static struct block *free_blocks[CLASSES];
static uint8_t pool[POOL_SIZE] __attribute__((aligned(8)));
static uint32_t pool_used;

static PROBED struct block *take_from_pool(uint32_t class)
{
    uint32_t size = sizeof(uint64_t) + (SMALLEST << class);
    if (pool_used + size > POOL_SIZE)
        return NULL;
    struct block *block = (struct block *)(pool + pool_used);
    pool_used += size;
    block->class = class;
    return block;
}

PROBED void *malloc(size_t size)
{
    uint32_t class = 0;
    while (class < CLASSES && (SMALLEST << class) < size)
        class++;
    struct block *block = NULL;
    if (class < CLASSES) {
        block = free_blocks[class];
        if (block)
            free_blocks[class] = block->next;
        else
            block = take_from_pool(class);
    }
    if (!block) {
        allocator_statistics.failures++;
        return NULL;
    }
    allocator_statistics.allocations++;
    allocator_statistics.bytes_in_use += SMALLEST << class;
    if (allocator_statistics.bytes_in_use > allocator_statistics.bytes_peak)
        allocator_statistics.bytes_peak = allocator_statistics.bytes_in_use;
    return &block->next;
}

PROBED void free(void *pointer)
{
    if (!pointer)
        return;
    struct block *block = (struct block *)((uint8_t *)pointer - offsetof(struct block, next));
    block->next = free_blocks[block->class];
    free_blocks[block->class] = block;
    allocator_statistics.frees++;
    allocator_statistics.bytes_in_use -= SMALLEST << block->class;
}
