/*
 * Writes its own stack to stdout, see dump.h. On the way down: recursion, a callback out of the C library, an aligned
 * frame, one of variable size, and a signal handler.
 */
#include "dump.h"

#include <signal.h>
#include <stdlib.h>

static void on_signal(int signal)
{
	(void)signal;
	write_stack();
	keep++;
}

__attribute__((noinline)) static int variable(int n)
{
	char space[n * 16 + 1];

	memset(space, n, sizeof(space));
	raise(SIGUSR1);
	return space[n] + keep;
}

__attribute__((noinline)) static int aligned(int n)
{
	volatile char space[64] __attribute__((aligned(64)));

	space[n & 63] = n;
	return variable(n) + space[n & 63];
}

static int compare(const void *a, const void *b)
{
	return aligned(*(const int *)a + 1) + *(const int *)b + keep;
}

__attribute__((noinline)) static int recursion(int n)
{
	int pair[2] = {n, keep};

	if (n)
		return recursion(n - 1) + keep;
	qsort(pair, 2, sizeof(int), compare);
	return pair[0] + keep;
}

int main(int argc, char **argv)
{
	top = (char *)argv;
	signal(SIGUSR1, on_signal);
	return recursion(20) + argc;
}
