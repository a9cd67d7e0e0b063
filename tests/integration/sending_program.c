/* Sends so many packets by UDP on each processor, to an address that the network device of `dummy` has a route to. */

#include "system_call.h"

enum { FORK = 2, WAIT4 = 114, SCHED_SETAFFINITY = 241, EXIT_GROUP = 248, SOCKET = 281, SENDTO = 290 };
enum { AF_INET = 2, SOCK_DGRAM = 2, ADDRESS = 16 };

/* port 9 of 10.1.1.2, in network order */
static const unsigned char to[ADDRESS] = {AF_INET, 0, 0, 9, 10, 1, 1, 2};

static long send(long socket)
{
	register long r7 __asm__("r7") = SENDTO;
	register long r0 __asm__("r0") = socket;
	register long r1 __asm__("r1") = (long)"hello";
	register long r2 __asm__("r2") = 5;
	register long r3 __asm__("r3") = 0;
	register long r4 __asm__("r4") = (long)to;
	register long r5 __asm__("r5") = ADDRESS;

	__asm__ volatile("svc #0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5) : "memory");
	return r0;
}

void _start(void)
{
	for (long number = 0; number < PROCESSORS; number++)
		if (call(FORK, 0, 0, 0, 0, 0) == 0) {
			long socket = call(SOCKET, AF_INET, SOCK_DGRAM, 0, 0, 0), mask = 1 << number, sent = 0;

			call(SCHED_SETAFFINITY, 0, 4, (long)&mask, 0, 0);
			while (sent < PACKETS)
				if (send(socket) != 5)
					break;
				else
					sent++;
			call(EXIT_GROUP, 0, 0, 0, 0, 0);
		}
	for (long number = 0; number < PROCESSORS; number++)
		call(WAIT4, -1, 0, 0, 0, 0);
	call(EXIT_GROUP, 0, 0, 0, 0, 0);
}
