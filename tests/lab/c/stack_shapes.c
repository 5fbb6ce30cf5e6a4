/*
 * stack_shapes: burns CPU below every kind of frame that is hard to walk, and knows how long below which.
 *
 *   stack_shapes SECONDS [THREADS]   of CPU time per thread; THREADS do what the main one otherwise does
 *   stack_shapes made SECONDS        code made at run time that uses the frame pointer for something else
 *   stack_shapes large SECONDS       a stack far larger than what is copied of one that can't be walked yet
 *   stack_shapes family COUNT        a COUNT of children, each of which burns a little now and then, until killed
 *
 * The first line says {"pid":N}; the last is the truth, CPU seconds by the function at the bottom of each shape's
 * stack. SIGTERM ends it early.
 */
#define _GNU_SOURCE
#include "lab.h"

#include <alloca.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>

#define KEEP __attribute__((noipa))
#define THREADS_MAX 16
#define RECURSION 40
#define UNIT 60000

#define SHAPES(X) X(recursion) X(variable_array) X(allocated) X(aligned) X(sort) X(clock) X(library) X(signal)
#define NUMBER(name) SHAPE_##name,
enum { SHAPES(NUMBER) COUNT };
#define NAME(name) "shape_" #name,
static const char *const names[COUNT] = { SHAPES(NAME) };

static volatile sig_atomic_t stopped;
static double limit_s;
static volatile uint64_t sink;

struct tally {
	double cpu_s, shape_s[COUNT];
};

KEEP static void spin(int units)
{
	uint64_t x = sink;

	for (long i = 0; i < (long)units * UNIT; i++)
		x = x * 6364136223846793005u + (x >> 33);
	sink = x;
}

KEEP static void recurse(int depth)
{
	if (depth)
		recurse(depth - 1);
	else
		spin(4);
	sink++;
}

KEEP static void shape_recursion(void)
{
	recurse(RECURSION);
	sink++;
}

KEEP static void use(volatile char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = i;
	spin(4);
	sink += bytes[length - 1];
}

KEEP static void shape_variable_array(void)
{
	char bytes[sink % 700 + 100];

	use(bytes, sizeof(bytes));
	sink++;
}

KEEP static void shape_allocated(void)
{
	size_t length = sink % 900 + 50;

	use(alloca(length), length);
	sink++;
}

/* The compiler aligns the stack and keeps the way back elsewhere. */
KEEP static void shape_aligned(void)
{
	volatile char bytes[sink % 300 + 64];
	__attribute__((aligned(64))) volatile char wide[256];

	wide[0] = 1;
	use(bytes, sizeof(bytes));
	use(wide, sizeof(wide));
	sink++;
}

KEEP static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;

	for (int i = 0; i < 300; i++)
		x = x * 6364136223846793005u + (x >> 33);
	sink += x;
	return *(const uint64_t *)a < *(const uint64_t *)b ? -1 : 1;
}

KEEP static void shape_sort(void)
{
	uint64_t numbers[300];

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		numbers[i] = i * 2654435761u % 1000;
	qsort(numbers, ARRAY_SIZE(numbers), sizeof(numbers[0]), compare);
	sink++;
}

/* In the vdso, and where there is none for this clock in a system call. */
KEEP static void shape_clock(void)
{
	for (int i = 0; i < 6000; i++)
		sink += seconds(CLOCK_MONOTONIC) > 0;
}

/* Through the procedure linkage table into code that keeps no frame pointers either. */
KEEP static void shape_library(void)
{
	char text[400];

	for (int i = 0; i < 300; i++) {
		snprintf(text, sizeof(text), "%.17g %s %d", pow(1.0000001, (double)(sink % 1000)), "text", i);
		sink += strtod(text, NULL) > 0 ? 1 : strlen(text);
	}
}

KEEP static void on_signal(int number)
{
	spin(4);
	sink += number;
}

KEEP static void shape_signal(void)
{
	raise(SIGUSR1);
	sink++;
}

#define FUNCTION(name) shape_##name,
static void (*const shapes[COUNT])(void) = { SHAPES(FUNCTION) };

KEEP static void burn_shapes(struct tally *tally)
{
	double start = seconds(CLOCK_THREAD_CPUTIME_ID), now = start;

	while (!stopped && now - start < limit_s) {
		for (int i = 0; i < COUNT; i++) {
			double before = now;

			shapes[i]();
			now = seconds(CLOCK_THREAD_CPUTIME_ID);
			tally->shape_s[i] += now - before;
		}
	}
	tally->cpu_s = now - start;
}

KEEP static void *burn_in_thread(void *tally)
{
	burn_shapes(tally);
	sink++;
	return NULL;
}

/* push %rbp; mov $12345, %ebp; 1: dec %rdi; jnz 1b; pop %rbp; ret */
static const unsigned char machine_code[] = {
	0x55, 0xbd, 0x39, 0x30, 0x00, 0x00, 0x48, 0xff, 0xcf, 0x75, 0xfb, 0x5d, 0xc3,
};

KEEP static void burn_in_made_code(void)
{
	void (*made)(long) = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (made == MAP_FAILED)
		die("mmap");
	memcpy(made, machine_code, sizeof(machine_code));
	while (!stopped && seconds(CLOCK_THREAD_CPUTIME_ID) < limit_s)
		made(10000000);
}

static void raise_family(int count)
{
	for (int i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;) {
				usleep(200000 + i % 1000 * 1000);
				shape_recursion();
			}
		}
	}
	printf("{\"children\":%d}\n", count);
	fflush(stdout);
	for (;;)
		pause();
}

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

KEEP static void burn_below_large_frame(void)
{
	volatile char bytes[64 << 10];

	/* Nothing is called: whoever walks this meets the C library beyond the large frame only. */
	alarm(limit_s);
	while (!stopped)
		use(bytes, sizeof(bytes));
}

int main(int argc, char **argv)
{
	static struct tally tallies[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	int count = argc > 2 ? atoi(argv[2]) : 0;
	double cpu_s = 0;
	int by_name = argc == 3 && !atof(argv[1]);

	if (argc < 2 || (count > THREADS_MAX && !by_name))
		return 2;
	limit_s = atof(argv[1]);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, stop);
	signal(SIGUSR1, on_signal);
	printf("{\"pid\":%d}\n", getpid());
	fflush(stdout);
	if (!strcmp(argv[1], "family"))
		raise_family(count);
	if (by_name) {
		limit_s = count;
		if (!strcmp(argv[1], "made"))
			burn_in_made_code();
		if (!strcmp(argv[1], "large"))
			burn_below_large_frame();
		return 0;
	}
	for (int i = 0; i < count; i++) {
		if (pthread_create(&threads[i], NULL, burn_in_thread, &tallies[i]))
			die("pthread_create");
	}
	if (!count)
		burn_shapes(&tallies[0]);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	printf("{\"functions\":{");
	for (int s = 0; s < COUNT; s++) {
		double all_s = 0;

		for (int i = 0; i < THREADS_MAX; i++)
			all_s += tallies[i].shape_s[s];
		printf("%s\"%s\":%.6f", s ? "," : "", names[s], all_s);
	}
	for (int i = 0; i < THREADS_MAX; i++)
		cpu_s += tallies[i].cpu_s;
	printf("},\"cpu_s\":%.6f}\n", cpu_s);
	return 0;
}
