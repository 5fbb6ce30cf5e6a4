/*
 * library_chain: one stack through many libraries, all of them copies of this file built as a library.
 *
 *   library_chain SECONDS DEPTH LIBRARY...    loads them all; the stack goes through the first DEPTH
 *
 * The first line says {"pid":N}.
 */
#define _GNU_SOURCE
#include "lab.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>

#define LIBRARIES_MAX 512

typedef void hop_function(void **hops, int left);

__attribute__((noipa)) void hop(void **hops, int left)
{
	static volatile uint64_t sink;

	if (left) {
		((hop_function *)hops[0])(hops + 1, left - 1);
	} else {
		for (int i = 0; i < 1000000; i++)
			sink = sink * 6364136223846793005u + 1;
	}
	sink++;
}

int main(int argc, char **argv)
{
	static void *hops[LIBRARIES_MAX];
	int depth = argc > 3 ? atoi(argv[2]) : 0;

	if (argc < 4 || argc - 3 > LIBRARIES_MAX || depth > argc - 3)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 3; i < argc; i++) {
		void *library = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);

		if (!library || !(hops[i - 3] = dlsym(library, "hop")))
			die(dlerror());
	}
	printf("{\"pid\":%d}\n", getpid());
	fflush(stdout);
	while (seconds(CLOCK_THREAD_CPUTIME_ID) < atof(argv[1]))
		((hop_function *)hops[0])(hops + 1, depth - 1);
	return 0;
}
