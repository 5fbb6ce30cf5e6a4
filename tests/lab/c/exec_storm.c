/*
 * exec_storm COUNT PROCESSES PER_SECOND LEAF: COUNT times vfork and exec of LEAF by PROCESSES processes, all of
 * them together at most PER_SECOND times a second (0: at full speed).
 *
 * Exec i carries "n=<i>" as its second argument, arguments of one of eight kinds, and ends with exit code i % 256
 * or, every sixteenth, by a signal. The truth is what wait() reported, not what was asked for.
 */
#include "lab.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define MANY_ARGS 40
#define LONG_ARG 1500

struct outcome {
	pid_t pid;
	pid_t parent;
	int status;
};

struct arguments {
	char verdict[8];
	char index[24];
	char many[MANY_ARGS][8];
	char *argv[MANY_ARGS + 4];
};

static char long_argument[LONG_ARG + 1];

static char **arguments_of(int i, char *leaf, struct arguments *a)
{
	static const int signals[] = { SIGKILL, SIGTERM, SIGUSR1, SIGALRM };
	static char *const extras[][3] = {
		{ NULL },
		{ "", "after-an-empty-one", "" },
		{ "two words", "tab\there", NULL },
		{ "gr\xc3\xb6\xc3\x9f" "e", "\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\x9a\x80" },
		{ "\033[31mred\033[0m\a", "new\nline", "[b]markup[/b]" },
		{ "\xff\xfe\x80 not utf-8", "\xc3", NULL },
		{ long_argument, NULL, NULL },
	};
	size_t kind = i % 8;
	int n = 0;

	if (i % 16 == 9)
		snprintf(a->verdict, sizeof(a->verdict), "-%d", signals[i / 16 % ARRAY_SIZE(signals)]);
	else
		snprintf(a->verdict, sizeof(a->verdict), "%d", i % 256);
	snprintf(a->index, sizeof(a->index), "n=%d", i);
	a->argv[n++] = leaf;
	a->argv[n++] = a->verdict;
	a->argv[n++] = a->index;
	if (kind < ARRAY_SIZE(extras)) {
		for (size_t k = 0; k < ARRAY_SIZE(extras[kind]) && extras[kind][k]; k++)
			a->argv[n++] = extras[kind][k];
	} else {
		for (int k = 0; k < MANY_ARGS; k++) {
			snprintf(a->many[k], sizeof(a->many[k]), "-a%d", k);
			a->argv[n++] = a->many[k];
		}
	}
	a->argv[n] = NULL;
	return a->argv;
}

static pid_t launch(char *leaf, char **argv)
{
	static char *environment[] = { NULL };
	pid_t pid = vfork();

	if (pid == 0) {
		execve(leaf, argv, environment);
		_exit(127);
	}
	return pid;
}

static void storm(int first, int step, int count, int per_second, char *leaf, struct outcome *outcomes)
{
	struct arguments arguments;
	double start = seconds(CLOCK_MONOTONIC);

	for (int i = first; i < count; i += step) {
		if (per_second)
			wait_until(start + (double)i / per_second);
		pid_t pid = launch(leaf, arguments_of(i, leaf, &arguments));

		if (pid < 0)
			die("vfork");
		outcomes[i].pid = pid;
		outcomes[i].parent = getpid();
		if (waitpid(pid, &outcomes[i].status, 0) != pid)
			die("waitpid");
	}
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: %s COUNT PROCESSES PER_SECOND LEAF\n", argv[0]);
		return 2;
	}
	int count = atoi(argv[1]);
	int processes = atoi(argv[2]);
	int per_second = atoi(argv[3]);
	char *leaf = argv[4];
	struct outcome *outcomes = shared((count + 1) * sizeof(*outcomes));
	pid_t workers[processes];

	memset(long_argument, 'x', LONG_ARG);
	double start = seconds(CLOCK_MONOTONIC);
	for (int p = 0; p < processes; p++) {
		workers[p] = fork();
		if (workers[p] < 0)
			die("fork");
		if (workers[p] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			storm(p, processes, count, per_second, leaf, outcomes);
			_exit(0);
		}
	}
	int failed = 0;
	for (int p = 0; p < processes; p++) {
		int status;

		waitpid(workers[p], &status, 0);
		failed |= status;
	}
	double elapsed = seconds(CLOCK_MONOTONIC) - start;
	if (failed)
		return 1;

	printf("{\"elapsed_s\":%.6f,\"execs\":[", elapsed);
	for (int i = 0; i < count; i++) {
		struct arguments arguments;
		int status = outcomes[i].status;

		printf("%s{\"pid\":%d,\"ppid\":%d,\"exit_code\":%d,\"signal\":%d,\"args\":", i ? "," : "",
		       outcomes[i].pid, outcomes[i].parent, WIFEXITED(status) ? WEXITSTATUS(status) : 0,
		       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
		json_strings(arguments_of(i, leaf, &arguments));
		putchar('}');
	}
	printf("]}\n");
	return 0;
}
