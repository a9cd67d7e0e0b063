/* Prints how many nanoseconds CALLS calls of `function` take by CLOCK_MONOTONIC; freestanding, so that it is one file.
 * LOOP and FUNCTION are words of A32 code, separated by commas: the code that others are measured with, too. */

struct timespec { long seconds, nanoseconds; };

__asm__(".pushsection .text\n"
	".type loop, %function\nloop: .inst " LOOP "\n"
	".type function, %function\nfunction: .inst " FUNCTION "\n.size function, . - function\n.popsection");
void loop(unsigned long calls, void (*called)(void));
void function(void);

static long call(long number, long a, long b, long c)
{
	register long r7 __asm__("r7") = number;
	register long r0 __asm__("r0") = a;
	register long r1 __asm__("r1") = b;
	register long r2 __asm__("r2") = c;

	__asm__ volatile("svc #0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2) : "memory");
	return r0;
}

enum { EXIT = 1, WRITE = 4, CLOCK_GETTIME = 263, MONOTONIC = 1 };

static void print(unsigned long value)
{
	char text[12], *place = text + sizeof text;

	*--place = '\n';
	for (; value; value /= 10)
		*--place = '0' + value % 10;
	call(WRITE, 1, (long)place, text + sizeof text - place);
}

void _start(void)
{
	struct timespec from, to;

	loop(1000, function); /* fills caches */
	call(CLOCK_GETTIME, MONOTONIC, (long)&from, 0);
	loop(CALLS, function);
	call(CLOCK_GETTIME, MONOTONIC, (long)&to, 0);
	print((to.seconds - from.seconds) * 1000000000ul + to.nanoseconds - from.nanoseconds);
	call(EXIT, 0, 0, 0);
}
