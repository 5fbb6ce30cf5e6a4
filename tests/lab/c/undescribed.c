/*
 * Calls through assembler functions that nothing describes, undescribed.S, each twice. The modes:
 *
 *   dump            at the bottom the stack is written to stdout, see dump.h
 *   spin SECONDS    at the bottom an assembler function burns CPU, again and again for so many seconds
 */
#include "dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef long chained(void *next);

chained by_pushes, by_moves, by_alignment, by_arguments, by_frame_pointer, spin;

static long dump(void *next)
{
	write_stack();
	return next != NULL;
}

int main(int argc, char **argv)
{
	chained *chain[] = {
		by_moves, by_alignment, by_arguments, by_frame_pointer, by_pushes,
		by_alignment, by_moves, by_pushes, by_frame_pointer, by_arguments, argc > 2 ? spin : dump,
	};
	struct timespec now;
	long end;

	top = (char *)argv;
	clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec + (argc > 2 ? atol(argv[2]) : 0);
	do {
		if (by_pushes(chain) != 11)
			return 1;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end);
	return keep;
}
