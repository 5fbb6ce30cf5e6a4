/*
 * tcp_actor COMM [NETNS]: a process that does with TCP sockets what its standard input says, one command a line, and
 * answers each with one line of JSON: {"ok":true,...} or {"ok":false,"errno":N,...}. Sockets are named by number.
 *
 *   listen ADDRESS PORT             "socket", "port"
 *   accept SOCKET                   "socket", "port" (of the peer)
 *   connect ADDRESS PORT [MS]       "socket", "port" (own), "ms"; gives up after MS milliseconds (0: the kernel does)
 *   send SOCKET BYTES               "tx", "rx": totals of the socket; waits until the kernel has taken all
 *   receive SOCKET BYTES            the same; waits for exactly BYTES, or the end
 *   acknowledged SOCKET             the same; waits until the peer has acknowledged all that was sent
 *   shutdown | close | reset SOCKET
 *   option SOCKET LEVEL NAME VALUE  an integer setsockopt
 */
#define _GNU_SOURCE
#include "lab.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define SOCKETS_MAX 4096

static struct {
	unsigned long long tx, rx;
} totals[SOCKETS_MAX];

static char buffer[1 << 16];

static void answer(int ok, const char *format, ...)
{
	int error = errno;
	va_list rest;

	if (ok)
		printf("{\"ok\":true");
	else
		printf("{\"ok\":false,\"errno\":%d", error);
	va_start(rest, format);
	vprintf(format, rest);
	va_end(rest);
	printf("}\n");
	fflush(stdout);
}

static socklen_t parse_address(const char *text, int port, struct sockaddr_storage *storage)
{
	struct sockaddr_in *in = (struct sockaddr_in *)storage;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;

	memset(storage, 0, sizeof(*storage));
	in->sin_port = htons(port);
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	inet_pton(AF_INET6, text, &in6->sin6_addr);
	return sizeof(*in6);
}

static int port_of(const struct sockaddr_storage *storage)
{
	return ntohs(((const struct sockaddr_in *)storage)->sin_port);
}

static void opened(int fd)
{
	totals[fd].tx = totals[fd].rx = 0;
}

static void do_listen(const char *address, int port)
{
	struct sockaddr_storage own;
	socklen_t size = parse_address(address, port, &own);
	int fd = socket(own.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	int ok = !bind(fd, (struct sockaddr *)&own, size) && !listen(fd, 128);
	if (ok)
		getsockname(fd, (struct sockaddr *)&own, &size);
	answer(ok, ",\"socket\":%d,\"port\":%d", fd, port_of(&own));
}

static void do_accept(int listener)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t size = sizeof(peer);
	int fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);

	if (fd >= 0)
		opened(fd);
	answer(fd >= 0, ",\"socket\":%d,\"port\":%d", fd, port_of(&peer));
}

static int connect_within(int fd, const struct sockaddr *peer, socklen_t size, int limit_ms)
{
	struct pollfd poller = { .fd = fd, .events = POLLOUT };
	int error = 0;

	if (!limit_ms)
		return connect(fd, peer, size);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (connect(fd, peer, size) && errno != EINPROGRESS)
		return -1;
	if (!poll(&poller, 1, limit_ms)) {
		errno = ETIMEDOUT;
		return -1;
	}
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){ sizeof(error) });
	fcntl(fd, F_SETFL, 0);
	errno = error;
	return error ? -1 : 0;
}

static void do_connect(const char *address, int port, int limit_ms)
{
	struct sockaddr_storage peer, own = { 0 };
	socklen_t size = parse_address(address, port, &peer), own_size = sizeof(own);
	int fd = socket(peer.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	double start = seconds(CLOCK_MONOTONIC);
	int ok = !connect_within(fd, (struct sockaddr *)&peer, size, limit_ms);
	double ms = (seconds(CLOCK_MONOTONIC) - start) * 1e3;
	int error = errno;

	if (ok) {
		opened(fd);
		getsockname(fd, (struct sockaddr *)&own, &own_size);
	} else {
		close(fd);
	}
	errno = error;
	answer(ok, ",\"socket\":%d,\"port\":%d,\"ms\":%.3f", fd, port_of(&own), ms);
}

static void answer_totals(int fd, int ok)
{
	answer(ok, ",\"tx\":%llu,\"rx\":%llu", totals[fd].tx, totals[fd].rx);
}

static void do_send(int fd, long long bytes)
{
	while (bytes > 0) {
		ssize_t n = send(fd, buffer, bytes < (int)sizeof(buffer) ? bytes : (int)sizeof(buffer), MSG_NOSIGNAL);
		if (n < 0)
			break;
		totals[fd].tx += n;
		bytes -= n;
	}
	answer_totals(fd, bytes <= 0);
}

static void do_receive(int fd, long long bytes)
{
	ssize_t n = 1;

	while (bytes > 0 && n > 0) {
		n = recv(fd, buffer, bytes < (int)sizeof(buffer) ? bytes : (int)sizeof(buffer), 0);
		if (n > 0) {
			totals[fd].rx += n;
			bytes -= n;
		}
	}
	answer_totals(fd, n >= 0);
}

static void do_acknowledged(int fd)
{
	int left = 0, failed;

	while (!(failed = ioctl(fd, SIOCOUTQ, &left)) && left)
		usleep(500);
	answer_totals(fd, !failed);
}

static void do_reset(int fd)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	answer_totals(fd, !close(fd));
}

static void obey(char *line)
{
	char verb[32] = "", address[64];
	int fd = 0, port, level, name, value, limit_ms = 0;
	long long bytes;

	if (sscanf(line, "listen %63s %d", address, &port) == 2)
		do_listen(address, port);
	else if (sscanf(line, "connect %63s %d %d", address, &port, &limit_ms) >= 2)
		do_connect(address, port, limit_ms);
	else if (sscanf(line, "accept %d", &fd) == 1)
		do_accept(fd);
	else if (sscanf(line, "send %d %lld", &fd, &bytes) == 2)
		do_send(fd, bytes);
	else if (sscanf(line, "receive %d %lld", &fd, &bytes) == 2)
		do_receive(fd, bytes);
	else if (sscanf(line, "acknowledged %d", &fd) == 1)
		do_acknowledged(fd);
	else if (sscanf(line, "option %d %d %d %d", &fd, &level, &name, &value) == 4)
		answer_totals(fd, !setsockopt(fd, level, name, &value, sizeof(value)));
	else if (sscanf(line, "%31s %d", verb, &fd) == 2 && !strcmp(verb, "shutdown"))
		answer_totals(fd, !shutdown(fd, SHUT_WR));
	else if (!strcmp(verb, "close"))
		answer_totals(fd, !close(fd));
	else if (!strcmp(verb, "reset"))
		do_reset(fd);
	else {
		fprintf(stderr, "tcp_actor: what is %s", line);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	char line[256];

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: %s COMM [NETNS]\n", argv[0]);
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, argv[1]);
	if (argc == 3) {
		int fd = open(argv[2], O_RDONLY | O_CLOEXEC);

		if (fd < 0 || setns(fd, CLONE_NEWNET))
			die(argv[2]);
	}
	answer(1, ",\"pid\":%d", getpid());
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	return 0;
}
