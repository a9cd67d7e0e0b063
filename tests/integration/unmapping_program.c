/* Opens names in memory that another thread maps and takes away all the time; three such processes, freestanding. */

#include "system_call.h"

enum { EXIT = 1, FORK = 2, OPEN = 5, MUNMAP = 91, WAIT4 = 114, CLONE = 120, MMAP2 = 192, EXIT_GROUP = 248 };
enum { PROCESSES = 3, PAGES = 1024, PAGE = 0x1000, READ_WRITE = 3, FIXED_PRIVATE_ANONYMOUS = 0x32 };
/* CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND, CLONE_THREAD */
enum { THREAD = 0x10f00 };

static char *const area = (char *)0x50000000;
static char stack[PAGE] __attribute__((aligned(8)));
static volatile int done;

/* a name that runs into the next page, which was never touched */
static char *name(long number)
{
	return area + (number * 37 + 5) % PAGES * PAGE + PAGE - 8;
}

static void map_and_unmap(void)
{
	while (!done) {
		call(MMAP2, (long)area, PAGES * PAGE, READ_WRITE, FIXED_PRIVATE_ANONYMOUS, -1);
		for (long number = 0; number < 32; number++)
			for (long at = 0; at < 8; at++)
				name(number)[at] = "/armprob"[at];
		call(MUNMAP, (long)area, PAGES * PAGE, 0, 0, 0);
	}
	call(EXIT, 0, 0, 0, 0, 0);
}

static void open_names(void)
{
	register long r7 __asm__("r7") = CLONE;
	register long r0 __asm__("r0") = THREAD;
	register long r1 __asm__("r1") = (long)(stack + PAGE);

	__asm__ volatile("svc #0" : "+r"(r0) : "r"(r7), "r"(r1) : "memory");
	if (r0 == 0)
		map_and_unmap();
	for (long number = 0; number < OPENS; number++)
		call(OPEN, (long)name(number % 32), 0, 0, 0, 0);
	done = 1;
	call(EXIT_GROUP, 0, 0, 0, 0, 0);
}

void _start(void)
{
	for (long number = 0; number < PROCESSES; number++)
		if (call(FORK, 0, 0, 0, 0, 0) == 0)
			open_names();
	for (long number = 0; number < PROCESSES; number++)
		call(WAIT4, -1, 0, 0, 0, 0);
	call(EXIT_GROUP, 0, 0, 0, 0, 0);
}
