/* Prints how many nanoseconds CALLS calls of getppid take by CLOCK_MONOTONIC; freestanding, so that it is one file. */

struct timespec { long seconds, nanoseconds; };

static long call(long number, long a, long b, long c)
{
	register long r7 __asm__("r7") = number;
	register long r0 __asm__("r0") = a;
	register long r1 __asm__("r1") = b;
	register long r2 __asm__("r2") = c;

	__asm__ volatile("svc #0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2) : "memory");
	return r0;
}

enum { EXIT = 1, WRITE = 4, GETPPID = 64, CLOCK_GETTIME = 263, MONOTONIC = 1 };

static void print(long value)
{
	char text[12], *place = text + sizeof text;

	*--place = '\n';
	for (; value; value = (unsigned long)value / 10)
		*--place = '0' + (unsigned long)value % 10;
	call(WRITE, 1, (long)place, text + sizeof text - place);
}

void _start(void)
{
	struct timespec from, to;

	for (long round = 0; round < 2; round++) { /* the first fills caches, and is not counted */
		call(CLOCK_GETTIME, MONOTONIC, (long)&from, 0);
		for (long left = CALLS; left; left--)
			call(GETPPID, 0, 0, 0);
		call(CLOCK_GETTIME, MONOTONIC, (long)&to, 0);
	}
	print((to.seconds - from.seconds) * 1000000000 + to.nanoseconds - from.nanoseconds);
	call(EXIT, 0, 0, 0);
}
