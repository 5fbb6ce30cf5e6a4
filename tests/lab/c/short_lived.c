/* Burns CPU for some milliseconds in one function and ends: a compiler of a small file, to a sampler. */
#include <time.h>

static double burnt;

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

__attribute__((noinline)) static void short_lived_work(double until)
{
	while (seconds() < until)
		for (int i = 0; i < 20000; i++)
			burnt = burnt * 0.999 + i;
}

int main(void)
{
	short_lived_work(seconds() + 0.012);
	return burnt < 0;
}
