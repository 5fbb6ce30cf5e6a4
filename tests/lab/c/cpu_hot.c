/*
 * cpu_hot: burns CPU in functions whose names and shares are known. The modes:
 *
 *   shares SECONDS            hot_a, hot_b and hot_c take 60, 30 and 10 units of every hundred
 *   threads SECONDS COUNT     the same in COUNT threads called ebt-hot-0, ebt-hot-1...
 *   system SECONDS            reads /dev/zero: nearly all time is the kernel's
 *   stacks DEPTH TIMES touch  every one of the 2^DEPTH ways down through two functions, TIMES times; the function
 *                             at the bottom causes exactly one page fault each time, so that an observer of page
 *                             faults must see each stack TIMES times
 *   stacks DEPTH TIMES spin   the same, burning a little CPU at the bottom instead
 *
 * SECONDS are of CPU time per thread. The first line says {"pid":N}; the last is the truth. SIGTERM ends it early.
 */
#define _GNU_SOURCE
#include "lab.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define THREADS_MAX 64
#define UNIT 20000
#define ZEROS (1 << 20)
#define PAGES 4096

/* A function of its own under its own name, whatever the optimisation. */
#define KEEP __attribute__((noipa))

enum { HOT_A, HOT_B, HOT_C, HOT };

struct tally {
	pid_t tid;
	double cpu_s, hot_s[HOT];
};

static volatile sig_atomic_t stopped;
static double limit_s;
static volatile uint64_t sink;

/*
 * The same work in three functions: the sampler must tell them apart by name, the compiler must not merge them.
 * Something on the stack, because gcc gives a leaf function without it no frame, whatever it is told.
 */
#define HOT_FUNCTION(name, salt)                                          \
	KEEP void name(int units)                    \
	{                                                                 \
		volatile uint64_t start = salt;                           \
		uint64_t x = start;                                       \
		for (long i = 0; i < (long)units * UNIT; i++)             \
			x = x * 6364136223846793005u + (x >> 33) + salt;  \
		sink += x;                                                \
	}

HOT_FUNCTION(hot_a, 1)
HOT_FUNCTION(hot_b, 3)
HOT_FUNCTION(hot_c, 5)

KEEP void burn_shares(struct tally *tally)
{
	static void (*const functions[HOT])(int) = { hot_a, hot_b, hot_c };
	static const int units[HOT] = { 60, 30, 10 };
	double start = seconds(CLOCK_THREAD_CPUTIME_ID), now = start;

	tally->tid = syscall(SYS_gettid);
	while (!stopped && now - start < limit_s) {
		for (int f = 0; f < HOT; f++) {
			double before = now;

			functions[f](units[f]);
			now = seconds(CLOCK_THREAD_CPUTIME_ID);
			tally->hot_s[f] += now - before;
		}
	}
	tally->cpu_s = now - start;
}

static void print_tally(const struct tally *tally)
{
	printf("{\"tid\":%d,\"cpu_s\":%.6f,\"functions\":{\"hot_a\":%.6f,\"hot_b\":%.6f,\"hot_c\":%.6f}}", tally->tid,
	       tally->cpu_s, tally->hot_s[HOT_A], tally->hot_s[HOT_B], tally->hot_s[HOT_C]);
}

struct thread {
	pthread_t id;
	int number;
	struct tally tally;
};

static void *burn_in_thread(void *argument)
{
	struct thread *thread = argument;
	char name[16];

	snprintf(name, sizeof(name), "ebt-hot-%d", thread->number);
	prctl(PR_SET_NAME, name);
	burn_shares(&thread->tally);
	return NULL;
}

static void run_shares(void)
{
	struct tally tally = { 0 };

	burn_shares(&tally);
	printf("{\"threads\":[");
	print_tally(&tally);
	printf("]}\n");
}

static void run_threads(int count)
{
	static struct thread threads[THREADS_MAX];

	for (int t = 0; t < count; t++) {
		threads[t].number = t;
		if (pthread_create(&threads[t].id, NULL, burn_in_thread, &threads[t]))
			die("pthread_create");
	}
	for (int t = 0; t < count; t++)
		pthread_join(threads[t].id, NULL);
	printf("{\"threads\":[");
	for (int t = 0; t < count; t++) {
		if (t)
			putchar(',');
		print_tally(&threads[t].tally);
	}
	printf("]}\n");
}

KEEP void burn_system(int fd, char *zeros)
{
	double start = seconds(CLOCK_THREAD_CPUTIME_ID);

	while (!stopped && seconds(CLOCK_THREAD_CPUTIME_ID) - start < limit_s) {
		if (read(fd, zeros, ZEROS) < 0) /* a signal may cut it short */
			die("/dev/zero");
	}
}

static double timeval_s(struct timeval t)
{
	return t.tv_sec + t.tv_usec / 1e6;
}

static void run_system(void)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	struct rusage before, after;

	char *zeros = malloc(ZEROS);
	memset(zeros, 1, ZEROS);
	getrusage(RUSAGE_SELF, &before);
	burn_system(fd, zeros);
	getrusage(RUSAGE_SELF, &after);
	printf("{\"user_s\":%.6f,\"system_s\":%.6f}\n", timeval_s(after.ru_utime) - timeval_s(before.ru_utime),
	       timeval_s(after.ru_stime) - timeval_s(before.ru_stime));
}

static char *pages;
static size_t page_size, next_page;

KEEP void touch_bottom(void)
{
	if (next_page == PAGES) {
		if (madvise(pages, PAGES * page_size, MADV_DONTNEED))
			die("madvise");
		next_page = 0;
	}
	((volatile char *)pages)[next_page++ * page_size] = 1;
}

KEEP void spin_bottom(void)
{
	hot_c(1);
}

static void (*bottom)(void);

void step_left(int depth, uint32_t path);
void step_right(int depth, uint32_t path);

/* The work after the call keeps it from becoming a jump, which would leave no frame. */
#define STEP_FUNCTION(name)                                               \
	KEEP void name(int depth, uint32_t path)     \
	{                                                                 \
		if (!depth)                                               \
			bottom();                                         \
		else if (path & 1)                                        \
			step_right(depth - 1, path >> 1);                 \
		else                                                      \
			step_left(depth - 1, path >> 1);                  \
		sink++;                                                   \
	}

STEP_FUNCTION(step_left)
STEP_FUNCTION(step_right)

KEEP void walk_stacks(int depth, int times)
{
	for (int t = 0; t < times && !stopped; t++) {
		for (uint32_t path = 0; path < 1u << depth; path++)
			step_left(depth, path);
	}
}

static void run_stacks(int depth, int times, int touch)
{
	struct rusage before, after;

	mlockall(MCL_CURRENT); /* if it may: nothing but the pages below is to fault */
	page_size = sysconf(_SC_PAGESIZE);
	pages = mmap(NULL, PAGES * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		die("mmap");
	madvise(pages, PAGES * page_size, MADV_NOHUGEPAGE); /* one fault a page */
	bottom = touch ? touch_bottom : spin_bottom;
	/* What else the first calls would fault in: code, stack, the clock's page. */
	walk_stacks(0, 1);
	step_left(depth, 0);
	step_left(depth, UINT32_MAX);
	seconds(CLOCK_THREAD_CPUTIME_ID);
	getrusage(RUSAGE_SELF, &before);
	printf("{\"warm\":true}\n");
	fflush(stdout);
	getchar(); /* until the observer says that it counts */
	getrusage(RUSAGE_SELF, &before);
	double start = seconds(CLOCK_THREAD_CPUTIME_ID);
	walk_stacks(depth, times);
	double cpu_s = seconds(CLOCK_THREAD_CPUTIME_ID) - start;
	getrusage(RUSAGE_SELF, &after);
	printf("{\"stacks\":%u,\"times\":%d,\"cpu_s\":%.6f,\"minor_faults\":%ld}\n", 1u << depth, times, cpu_s,
	       after.ru_minflt - before.ru_minflt);
	fflush(stdout);
	getchar(); /* its mappings are there until the observer has named all addresses */
}

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[1] : "";

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, stop);
	printf("{\"pid\":%d}\n", getpid());
	fflush(stdout);
	if (argc > 2)
		limit_s = atof(argv[2]);
	if (!strcmp(mode, "shares") && argc == 3)
		run_shares();
	else if (!strcmp(mode, "system") && argc == 3)
		run_system();
	else if (!strcmp(mode, "threads") && argc == 4 && atoi(argv[3]) <= THREADS_MAX)
		run_threads(atoi(argv[3]));
	else if (!strcmp(mode, "stacks") && argc == 5)
		run_stacks(atoi(argv[2]), atoi(argv[3]), !strcmp(argv[4], "touch"));
	else
		return 2;
	return 0;
}
