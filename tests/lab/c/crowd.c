/*
 * Very many processes that do nothing: `crowd N PROGRAM` has N children exec PROGRAM with "+" and their number, says
 * "true" when all have, and ends them, one by one, when its standard input ends. They end with it whatever happens.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t start_member(const char *program, int number)
{
	char text[16];
	pid_t pid;

	snprintf(text, sizeof(text), "%d", number);
	pid = vfork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(program, program, "+", text, (char *)NULL);
		_exit(127);
	}
	return pid;
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[1]) : 0;
	pid_t *members = calloc(count + 1, sizeof(*members));
	char byte;
	int i;

	for (i = 0; i < count; i++) {
		members[i] = start_member(argv[2], i);
		if (members[i] < 0) {
			perror("vfork");
			return 1;
		}
	}
	puts("true");
	fflush(stdout);
	while (read(0, &byte, 1) > 0 || errno == EINTR)
		errno = 0;
	for (i = 0; i < count; i++)
		kill(members[i], SIGKILL);
	for (i = 0; i < count; i++)
		waitpid(members[i], NULL, 0);
	return 0;
}
