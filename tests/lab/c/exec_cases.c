/*
 * exec_cases CASE LEAF: the ways to exec, and to fail at it, that a storm does not show. Each case runs in a child
 * of its own; what it tried, what failed and how the child ended is printed as one JSON object.
 */
#define _GNU_SOURCE
#include "lab.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define MISSING_DIRECTORIES 5
#define HUGE_ARGUMENTS 3
#define HUGE_ARGUMENT 100000 /* three of them: more than any observer reads, less than the kernel's limit for one */
#define TOO_LONG (1 << 20)
#define HOSTILE_NAME "\033[31m\xff[b]x"

extern char **environ;

/* What a case leaves for the parent, which outlives its exec. */
struct truth {
	int failures;
	struct {
		char filename[256];
		int error;
	} failed[MISSING_DIRECTORIES + 1];
	char filename[256];
	char args[4][256];
	long args_bytes;
	pid_t thread;
};

static struct truth *truth;
static char *leaf;
static char directory[] = "/tmp/ebt-exec-XXXXXX";

static void failed(const char *filename)
{
	int n = truth->failures++;

	snprintf(truth->failed[n].filename, sizeof(truth->failed[n].filename), "%s", filename);
	truth->failed[n].error = errno;
}

/* The exec that is meant to succeed: note it, do it. */
static void expect(const char *filename, char *const *argv)
{
	snprintf(truth->filename, sizeof(truth->filename), "%s", filename);
	for (int i = 0; argv[i]; i++) {
		if (i < (int)ARRAY_SIZE(truth->args))
			snprintf(truth->args[i], sizeof(truth->args[i]), "%s", argv[i]);
		truth->args_bytes += strlen(argv[i]) + 1;
	}
}

static void succeed(char *code)
{
	char *argv[] = { leaf, code, NULL };

	expect(leaf, argv);
	execv(leaf, argv);
	_exit(127);
}

static void try(const char *filename, char *const *argv)
{
	execv(filename, argv);
	failed(filename);
}

static const char *file(const char *name, const char *content, mode_t mode)
{
	static char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0 || write(fd, content, strlen(content)) < 0 || fchmod(fd, mode) || close(fd))
		die(path);
	return path;
}

/* A PATH search: the directories that are missing first, then the one that holds LEAF. */
static void path_search(void)
{
	char path[4096] = "", *slash = strrchr(leaf, '/');
	char *argv[] = { slash + 1, "3", NULL };

	for (int i = 0; i < MISSING_DIRECTORIES; i++) {
		char missing[64];

		snprintf(missing, sizeof(missing), "%s/missing-%d", directory, i);
		snprintf(path + strlen(path), sizeof(path) - strlen(path), "%s:", missing);
		snprintf(truth->failed[i].filename, sizeof(truth->failed[i].filename), "%s/%s", missing, slash + 1);
		truth->failed[i].error = ENOENT;
	}
	truth->failures = MISSING_DIRECTORIES;
	snprintf(path + strlen(path), sizeof(path) - strlen(path), "%.*s", (int)(slash - leaf), leaf);
	setenv("PATH", path, 1);
	expect(leaf, argv);
	execvp(argv[0], argv);
	_exit(127);
}

static void enoent(void)
{
	char *argv[] = { "missing", "-x", "two words", NULL };

	try("/nonexistent/ebt/missing", argv);
	_exit(0);
}

static void eacces(void)
{
	char *argv[] = { "plain", NULL };

	try(file("plain", "not executable\n", 0644), argv);
	_exit(0);
}

static void enoexec(void)
{
	char *argv[] = { "garbage", NULL };

	try(file("garbage", "\001\002\003 no known format", 0755), argv);
	_exit(0);
}

static void e2big(void)
{
	char *huge = malloc(TOO_LONG + 1);
	char *argv[] = { leaf, "0", huge, NULL };

	memset(huge, 'y', TOO_LONG);
	huge[TOO_LONG] = 0;
	try(leaf, argv);
	_exit(0);
}

static void empty_path(void)
{
	int fd = open(leaf, O_RDONLY | O_CLOEXEC);
	char *argv[] = { "by-descriptor", "5", NULL };
	char name[32];

	snprintf(name, sizeof(name), "/dev/fd/%d", fd);
	expect(name, argv);
	syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
	_exit(127);
}

static void shebang(void)
{
	char line[300];
	const char *script;

	snprintf(line, sizeof(line), "#!%s 6\n", leaf);
	script = file("script", line, 0755);
	char *argv[] = { "not-shown", "tail", NULL };
	char *seen[] = { leaf, "6", (char *)script, "tail", NULL };

	expect(script, seen);
	execv(script, argv);
	_exit(127);
}

static void huge_argv(void)
{
	static char huge[HUGE_ARGUMENTS][HUGE_ARGUMENT + 1];
	char *argv[HUGE_ARGUMENTS + 3] = { leaf, "8" };

	for (int i = 0; i < HUGE_ARGUMENTS; i++) {
		memset(huge[i], 'a' + i, HUGE_ARGUMENT);
		argv[i + 2] = huge[i];
	}
	expect(leaf, argv);
	execv(leaf, argv);
	_exit(127);
}

static void hostile_name(void)
{
	char path[64];
	char *argv[] = { "\033]0;owned\a", "9", "[red]\xff", NULL };

	snprintf(path, sizeof(path), "%s/%s", directory, HOSTILE_NAME);
	if (symlink(leaf, path))
		die("symlink");
	expect(path, argv);
	execv(path, argv);
	_exit(127);
}

static void empty_argv(void)
{
	char *argv[] = { NULL };
	char *seen[] = { "", NULL }; /* the kernel adds an empty argv[0] since 5.18; the leaf then exits with 0 */

	expect(leaf, seen);
	execv(leaf, argv);
	_exit(127);
}

static void *exec_in_thread(void *unused)
{
	(void)unused;
	truth->thread = syscall(SYS_gettid);
	succeed("10");
	return NULL;
}

static void thread_exec(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, exec_in_thread, NULL);
	pthread_join(thread, NULL);
	_exit(127);
}

static int leader_state(pid_t pid)
{
	char path[64], line[512], *end;
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, pid);
	stat = fopen(path, "r");
	if (!stat || !fgets(line, sizeof(line), stat))
		die(path);
	fclose(stat);
	end = strrchr(line, ')');
	return end[2];
}

static void *outlive_leader(void *unused)
{
	(void)unused;
	truth->thread = syscall(SYS_gettid);
	while (leader_state(getpid()) != 'Z')
		sched_yield();
	return NULL;
}

static void *outlive_leader_and_exit(void *unused)
{
	outlive_leader(unused);
	exit(11);
}

static void leader_first(void *(*thread_main)(void *))
{
	pthread_t thread;

	pthread_create(&thread, NULL, thread_main, NULL);
	syscall(SYS_exit, 0);
}

/* The last thread ends the process with exit_group(11) when the leader is long gone. */
static void leader_exits_first(void)
{
	leader_first(outlive_leader_and_exit);
}

/* The last thread just returns: the process ends without anybody having called exit_group. */
static void leader_exits_first_quietly(void)
{
	leader_first(outlive_leader);
}

static void *kill_process(void *unused)
{
	(void)unused;
	truth->thread = syscall(SYS_gettid);
	kill(getpid(), SIGKILL);
	pause();
	return NULL;
}

static void killed_by_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, kill_process, NULL);
	for (;;)
		pause();
}

static void segfault(void)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	raise(SIGSEGV);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "path-search", path_search },
	{ "enoent", enoent },
	{ "eacces", eacces },
	{ "enoexec", enoexec },
	{ "e2big", e2big },
	{ "empty-path", empty_path },
	{ "shebang", shebang },
	{ "huge-argv", huge_argv },
	{ "hostile-name", hostile_name },
	{ "empty-argv", empty_argv },
	{ "thread-exec", thread_exec },
	{ "leader-exits-first", leader_exits_first },
	{ "leader-exits-first-quietly", leader_exits_first_quietly },
	{ "killed-by-thread", killed_by_thread },
	{ "segfault", segfault },
};

static void print(pid_t pid, int status)
{
	char *args[ARRAY_SIZE(truth->args) + 1] = { NULL };

	for (size_t i = 0; i < ARRAY_SIZE(truth->args) && (truth->args[i][0] || (!i && truth->args_bytes)); i++)
		args[i] = truth->args[i];
	printf("{\"pid\":%d,\"ppid\":%d,\"tid\":%d,\"exit_code\":%d,\"signal\":%d,\"core_dumped\":%s", pid, getpid(),
	       truth->thread ? truth->thread : pid, WIFEXITED(status) ? WEXITSTATUS(status) : 0,
	       WIFSIGNALED(status) ? WTERMSIG(status) : 0,
	       WIFSIGNALED(status) && WCOREDUMP(status) ? "true" : "false");
	printf(",\"filename\":");
	json_bytes(truth->filename);
	printf(",\"args_bytes\":%ld,\"args\":", truth->args_bytes);
	json_strings(args);
	printf(",\"failures\":[");
	for (int i = 0; i < truth->failures; i++) {
		printf("%s{\"errno\":%d,\"filename\":", i ? "," : "", truth->failed[i].error);
		json_bytes(truth->failed[i].filename);
		putchar('}');
	}
	printf("]}\n");
}

static void clean_up(void)
{
	static const char *const names[] = { "plain", "garbage", "script", HOSTILE_NAME };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[64];

		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		unlink(path);
	}
	rmdir(directory);
}

int main(int argc, char **argv)
{
	if (argc == 3) {
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			if (strcmp(cases[i].name, argv[1]))
				continue;
			int status;

			leaf = argv[2];
			truth = shared(sizeof(*truth));
			if (!mkdtemp(directory))
				die("mkdtemp");
			pid_t pid = fork();
			if (pid == 0) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				cases[i].run();
			}
			waitpid(pid, &status, 0);
			print(pid, status);
			clean_up();
			return 0;
		}
	}
	fprintf(stderr, "usage: %s CASE LEAF\n", argv[0]);
	return 2;
}
