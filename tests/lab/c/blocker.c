/*
 * blocker: waits in functions whose names are known, for times that it measures itself.
 *
 *   waits TIMES MS    on each line of its input: TIMES times MS milliseconds each in wait_in_sleep, in wait_in_futex
 *                     (which a thread called ebt-waker ends) and in wait_in_read (of a pipe, which a process called
 *                     ebt-writer fills)
 *   disk FILE TIMES   on each line of its input: TIMES times in wait_for_disk, which writes to FILE and syncs
 *   hang              on a line of its input: waits in wait_for_ever
 *   switches COUNT    on each line of its input: two processes on one CPU send each other a byte, COUNT times; each
 *                     waits for the other
 *
 * The first line says {"pid":N}; each input line is answered with the truth.
 */
#define _GNU_SOURCE
#include "lab.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* A function of its own under its own name, whatever the optimisation. */
#define KEEP __attribute__((noipa))

static int pause_ms;
static uint32_t gate;
static int request[2], answer[2];
static int disk;
static volatile uint64_t sink;

static void nap(void)
{
	struct timespec t = { .tv_sec = pause_ms / 1000, .tv_nsec = pause_ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

/*
 * Each wait is two functions deep: whoever walks a stack by frame pointers misses the caller of a libc function that
 * has none, and that is the inner one.
 */
KEEP void sleep_once(void)
{
	nap();
	sink++;
}

KEEP void wait_in_sleep(void)
{
	sleep_once();
	sink++;
}

KEEP void futex_once(void)
{
	uint32_t closed = __atomic_load_n(&gate, __ATOMIC_SEQ_CST);

	while (__atomic_load_n(&gate, __ATOMIC_SEQ_CST) == closed)
		syscall(SYS_futex, &gate, FUTEX_WAIT, closed, NULL, NULL, 0);
	sink++;
}

KEEP void wait_in_futex(void)
{
	futex_once();
	sink++;
}

KEEP void read_once(void)
{
	char c = 0;

	if (write(request[1], &c, 1) != 1 || read(answer[0], &c, 1) != 1)
		die("pipe");
	sink++;
}

KEEP void wait_in_read(void)
{
	read_once();
	sink++;
}

KEEP void sync_once(void)
{
	static char block[1 << 16];

	block[0]++;
	if (pwrite(disk, block, sizeof(block), 0) != sizeof(block) || fsync(disk))
		die("disk");
	sink++;
}

KEEP void wait_for_disk(void)
{
	sync_once();
	sink++;
}

KEEP void hang_once(void)
{
	for (;;)
		pause();
}

KEEP void wait_for_ever(void)
{
	hang_once();
	sink++;
}

static void *open_gates(void *unused)
{
	(void)unused;
	prctl(PR_SET_NAME, "ebt-waker");
	for (;;) {
		nap();
		__atomic_add_fetch(&gate, 1, __ATOMIC_SEQ_CST);
		syscall(SYS_futex, &gate, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
	return NULL;
}

static void answer_pipe(void)
{
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "ebt-writer");
	while (read(request[0], &c, 1) == 1) {
		nap();
		if (write(answer[1], &c, 1) != 1)
			break;
	}
	_exit(0);
}

static double timed(void (*wait)(void), int times)
{
	double start = seconds(CLOCK_MONOTONIC);

	for (int t = 0; t < times; t++)
		wait();
	return seconds(CLOCK_MONOTONIC) - start;
}

static void run_waits(int times)
{
	pthread_t thread;
	pid_t writer;

	if (pipe(request) || pipe(answer))
		die("pipe");
	writer = fork();
	if (!writer)
		answer_pipe();
	if (pthread_create(&thread, NULL, open_gates, NULL))
		die("pthread_create");
	while (getchar() == '\n') {
		double sleep_s = timed(wait_in_sleep, times);
		double futex_s = timed(wait_in_futex, times);
		double read_s = timed(wait_in_read, times);

		printf("{\"sleep_s\":%.6f,\"futex_s\":%.6f,\"read_s\":%.6f,\"writer\":%d}\n", sleep_s, futex_s, read_s,
		       writer);
		fflush(stdout);
	}
}

static void run_disk(const char *file, int times)
{
	disk = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (disk < 0)
		die(file);
	while (getchar() == '\n') {
		printf("{\"disk_s\":%.6f}\n", timed(wait_for_disk, times));
		fflush(stdout);
	}
}

static void echo(void)
{
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(request[0], &c, 1) == 1) {
		if (write(answer[1], &c, 1) != 1)
			break;
	}
	_exit(0);
}

static void run_switches(int count)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (sched_setaffinity(0, sizeof(one), &one) || pipe(request) || pipe(answer))
		die("switches");
	if (!fork())
		echo();
	while (getchar() == '\n') {
		double taken = timed(read_once, count);

		printf("{\"switches\":%d,\"seconds\":%.6f}\n", 2 * count, taken);
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	printf("{\"pid\":%d}\n", getpid());
	fflush(stdout);
	if (!strcmp(mode, "waits") && argc == 4) {
		pause_ms = atoi(argv[3]);
		run_waits(atoi(argv[2]));
	} else if (!strcmp(mode, "disk") && argc == 4) {
		run_disk(argv[2], atoi(argv[3]));
	} else if (!strcmp(mode, "switches") && argc == 3) {
		run_switches(atoi(argv[2]));
	} else if (!strcmp(mode, "hang") && argc == 2) {
		getchar();
		wait_for_ever();
	} else {
		return 2;
	}
	return 0;
}
