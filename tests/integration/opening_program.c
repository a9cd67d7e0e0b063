/* Opens names of which it is known how they come to the kernel; freestanding, so that it is one file. */

#include "system_call.h"

enum { OPEN = 5, EXIT = 1, MPROTECT = 125, MADVISE = 220, MMAP2 = 192 };
enum { PAGE = 0x1000, READ_WRITE = 3, PRIVATE_ANONYMOUS = 0x22, DONTNEED = 4 };

/* "/armprobe/NNNNN", ending `left` bytes behind `place` */
static char *name(char *place, long left, long number)
{
	static const char base[] = "/armprobe/";
	char *start = place + left - 15;

	for (long at = 0; at < 10; at++)
		start[at] = base[at];
	for (long at = 14; at >= 10; at--, number = (unsigned long)number / 10)
		start[at] = '0' + (unsigned long)number % 10;
	start[15] = 0;
	return start;
}

void _start(void)
{
	char *pages = (char *)call(MMAP2, 0, 4 * PAGE, READ_WRITE, PRIVATE_ANONYMOUS, -1);

	/* across the end of a page, by all distances */
	for (long number = 0; number < OPENS; number++)
		call(OPEN, (long)name(pages + PAGE, (unsigned long)number % 24 - 4, number), 0, 0, 0, 0);
	/* memory that the kernel took back, and that nothing has touched since */
	name(pages + 2 * PAGE, 15, 1);
	call(MADVISE, (long)pages + 2 * PAGE, PAGE, DONTNEED, 0, 0);
	call(OPEN, (long)pages + 2 * PAGE, 0, 0, 0, 0);
	/* memory that may not be read any more, directly and by a name that runs into it */
	name(pages + 3 * PAGE, 15, 2);
	call(MPROTECT, (long)pages + 3 * PAGE, PAGE, 0, 0, 0);
	call(OPEN, (long)pages + 3 * PAGE, 0, 0, 0, 0);
	for (long at = 1; at < 9; at++)
		pages[3 * PAGE - at] = 'x';
	call(OPEN, (long)pages + 3 * PAGE - 8, 0, 0, 0, 0);
	/* addresses that are nowhere */
	call(OPEN, 0x10, 0, 0, 0, 0);
	call(OPEN, 0xffffff00, 0, 0, 0, 0);
	call(EXIT, 0, 0, 0, 0, 0);
}
