/* What the workloads share: dying loudly, JSON text, the clock. */
#ifndef LAB_H
#define LAB_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

__attribute__((noreturn, unused)) static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

/* One byte a character, so that bytes which are not UTF-8 survive the trip. */
__attribute__((unused)) static void json_bytes(const char *bytes)
{
	putchar('"');
	for (const unsigned char *c = (const unsigned char *)bytes; *c; c++) {
		if (*c < 0x20 || *c >= 0x7f || *c == '"' || *c == '\\')
			printf("\\u%04x", *c);
		else
			putchar(*c);
	}
	putchar('"');
}

__attribute__((unused)) static void json_strings(char *const *strings)
{
	putchar('[');
	for (int i = 0; strings[i]; i++) {
		if (i)
			putchar(',');
		json_bytes(strings[i]);
	}
	putchar(']');
}

__attribute__((unused)) static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Sleep to a moment of CLOCK_MONOTONIC. */
__attribute__((unused)) static void wait_until(double moment)
{
	struct timespec t = { .tv_sec = moment, .tv_nsec = (moment - (long)moment) * 1e9 };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* Zeroed memory that forked children share with their parent. */
__attribute__((unused)) static void *shared(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	return memory;
}

#endif
