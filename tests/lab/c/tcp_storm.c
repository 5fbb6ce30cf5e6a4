/*
 * tcp_storm: many short loopback connections that end in every way a connection can end.
 *
 * Client processes connect; a server that listens on one port per family and way of closing accepts. Each end writes
 * down what it sent and received in memory that all share: two independent accounts of every connection, joined by
 * the pair of ports (and by time, as a port that a reset freed may be used again). "received" is what the kernel took in order, also where the application never read it.
 *
 * Where a reset ends a connection, everything before it is acknowledged first, so that the counts are exact.
 */
#define _GNU_SOURCE
#include "lab.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define LARGEST 100000
#define LARGEST_UNREAD 16384 /* fits the receive buffer, so all of it is acknowledged */
#define WORKERS_MAX 64

enum family { IPV4, IPV6, MAPPED, FAMILIES };

enum ending {
	CLIENT_FIRST, /* the client closes when it has the reply; the server waits for that */
	SERVER_FIRST, /* the server closes after the reply; the client reads to the end */
	BOTH,         /* each closes as soon as it is done */
	CLIENT_RESET, /* the client resets when it has the reply */
	SERVER_RESET, /* the client confirms the reply with one more byte; the server resets */
	HALF_CLOSE,   /* the client shuts its side, the server answers after that */
	SEND_ONLY,    /* the server sends and never reads; the client only reads */
	NEVER_READ,   /* the server never reads and closes with data waiting: the kernel resets */
	EMPTY,        /* no data; the client closes */
	EARLY_RESET,  /* no data; the client resets at once, perhaps before accept() */
	ENDINGS
};

static const char *const ending_names[ENDINGS] = {
	"client-first", "server-first", "both",	      "client-reset", "server-reset",
	"half-close",	"send-only",	"never-read", "empty",	      "early-reset",
};

/* One end's account of one connection. */
struct account {
	uint8_t family, ending;
	uint16_t client_port, server_port;
	pid_t pid;
	uint32_t tx, rx;
	double opened; /* CLOCK_MONOTONIC; tells apart connections that had the same ports one after the other */
};

/* How the client tells the server what to expect; counts as data. */
struct request {
	uint32_t size, reply;
};

struct common {
	atomic_int served;
	atomic_int listening;
	pid_t listener;
	uint16_t ports[FAMILIES][ENDINGS];
};

struct accepted {
	int fd;
	uint8_t family, ending;
	uint16_t client_port;
	double opened;
};

static int count = 1000, clients = 2, servers = 1, per_second;
static const char *kind = "single", *families = "46m", *endings = "0123456789";
static struct common *common;
static struct account *client_accounts, *server_accounts;
static int listeners[FAMILIES][ENDINGS];
static int stop[2], handover[2];
static const char payload[LARGEST];

static uint32_t random_below(uint64_t *state, uint32_t limit)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (*state >> 20) % limit;
}

/* Mostly small, sometimes large, as services are. */
static uint32_t random_size(uint64_t *state)
{
	switch (random_below(state, 20)) {
	case 0:
		return random_below(state, LARGEST);
	case 1 ... 7:
		return random_below(state, 8192);
	default:
		return random_below(state, 512);
	}
}

static uint32_t send_all(int fd, const void *data, uint32_t size)
{
	uint32_t sent = 0;

	while (sent < size) {
		ssize_t n = send(fd, (const char *)data + sent, size - sent, MSG_NOSIGNAL);
		if (n < 0)
			die("send");
		sent += n;
	}
	return sent;
}

static uint32_t receive(int fd, uint32_t size)
{
	char buffer[65536];
	uint32_t received = 0;

	while (received < size) {
		uint32_t want = size - received < sizeof(buffer) ? size - received : sizeof(buffer);
		ssize_t n = recv(fd, buffer, want, 0);
		if (n <= 0)
			break;
		received += n;
	}
	return received;
}

static uint32_t receive_to_end(int fd)
{
	return receive(fd, UINT32_MAX);
}

static void acknowledge_now(int fd)
{
	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &(int){ 1 }, sizeof(int));
}

static void reset(int fd)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	acknowledge_now(fd);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static void await_acknowledged(int fd)
{
	int unacknowledged;

	while (!ioctl(fd, SIOCOUTQ, &unacknowledged) && unacknowledged)
		sched_yield();
}

static socklen_t address(enum family family, bool listens, uint16_t port, struct sockaddr_storage *storage)
{
	memset(storage, 0, sizeof(*storage));
	if (family == IPV4) {
		struct sockaddr_in *in = (struct sockaddr_in *)storage;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	if (family == IPV6)
		in6->sin6_addr = in6addr_loopback;
	else if (!listens)
		inet_pton(AF_INET6, "::ffff:127.0.0.1", &in6->sin6_addr);
	return sizeof(*in6);
}

static uint16_t port_of(const struct sockaddr_storage *storage)
{
	return ntohs(((const struct sockaddr_in *)storage)->sin_port); /* the same place in both families */
}

static void prepare(int fd)
{
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
}

static void talk_as_client(int fd, struct account *account, uint64_t *random)
{
	struct request request;
	char message[LARGEST + sizeof(request)];

	switch (account->ending) {
	case EMPTY:
		return;
	case EARLY_RESET:
		reset(fd);
		return;
	case SEND_ONLY:
		account->rx = receive_to_end(fd);
		return;
	case NEVER_READ:
		account->tx = send_all(fd, payload, 1 + random_below(random, LARGEST_UNREAD));
		await_acknowledged(fd);
		return;
	default:
		break;
	}
	request.size = sizeof(request) + random_size(random);
	request.reply = 1 + random_size(random); /* the reply acknowledges the request before any reset */
	memcpy(message, &request, sizeof(request));
	memset(message + sizeof(request), 'c', request.size - sizeof(request));
	account->tx = send_all(fd, message, request.size);
	if (account->ending == HALF_CLOSE)
		shutdown(fd, SHUT_WR);
	if (account->ending == SERVER_FIRST || account->ending == HALF_CLOSE) {
		account->rx = receive_to_end(fd);
		return;
	}
	account->rx = receive(fd, request.reply);
	if (account->ending == CLIENT_RESET) {
		reset(fd);
	} else if (account->ending == SERVER_RESET) {
		account->tx += send_all(fd, payload, 1);
		receive_to_end(fd);
	}
}

static void talk_as_server(int fd, struct account *account, uint64_t *random)
{
	struct request request;

	switch (account->ending) {
	case EMPTY:
	case EARLY_RESET:
		receive_to_end(fd);
		return;
	case SEND_ONLY:
		account->tx = send_all(fd, payload, 1 + random_size(random));
		return;
	case NEVER_READ: {
		struct pollfd poller = { .fd = fd, .events = POLLRDHUP };
		int waiting = 0;

		poll(&poller, 1, -1);
		ioctl(fd, SIOCINQ, &waiting);
		account->rx = waiting;
		return;
	}
	default:
		break;
	}
	account->rx = recv(fd, &request, sizeof(request), MSG_WAITALL);
	if (account->rx != sizeof(request))
		die("request");
	account->rx += receive(fd, request.size - sizeof(request));
	if (account->ending == HALF_CLOSE)
		account->rx += receive_to_end(fd);
	account->tx = send_all(fd, payload, request.reply);
	if (account->ending == CLIENT_FIRST || account->ending == CLIENT_RESET) {
		receive_to_end(fd);
	} else if (account->ending == SERVER_RESET) {
		account->rx += receive(fd, 1);
		reset(fd);
	}
}

static void connect_one(int i, uint64_t *random)
{
	size_t combination = i % (strlen(families) * strlen(endings));
	char letter = families[combination % strlen(families)];
	enum family family = letter == '4' ? IPV4 : letter == '6' ? IPV6 : MAPPED;
	enum ending ending = endings[combination / strlen(families)] - '0';
	struct account *account = &client_accounts[i];
	struct sockaddr_storage peer, own;
	socklen_t size = address(family, false, common->ports[family][ending], &peer), own_size = sizeof(own);
	int fd = socket(peer.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&peer, size))
		die("connect");
	prepare(fd);
	getsockname(fd, (struct sockaddr *)&own, &own_size);
	account->family = family;
	account->ending = ending;
	account->client_port = port_of(&own);
	account->server_port = common->ports[family][ending];
	account->pid = getpid();
	account->opened = seconds(CLOCK_MONOTONIC);
	talk_as_client(fd, account, random);
	close(fd);
}

static void run_client(int number)
{
	uint64_t random = 0x9e3779b97f4a7c15 * (number + 1);
	double start = seconds(CLOCK_MONOTONIC);

	prctl(PR_SET_NAME, "ebt-tcp-client");
	for (int i = number; i < count; i += clients) {
		if (per_second)
			wait_until(start + (double)i / per_second);
		connect_one(i, &random);
	}
}

static void serve(const struct accepted *accepted, uint64_t *random)
{
	struct account account = {
		.family = accepted->family,
		.ending = accepted->ending,
		.client_port = accepted->client_port,
		.server_port = common->ports[accepted->family][accepted->ending],
		.pid = getpid(),
		.opened = accepted->opened,
	};

	prepare(accepted->fd);
	talk_as_server(accepted->fd, &account, random);
	close(accepted->fd);
	server_accounts[atomic_fetch_add(&common->served, 1)] = account;
}

/* Another family may have been given the same port; here a port alone is to tell which listener it is. */
static bool is_taken(uint16_t port)
{
	for (int f = 0; f < FAMILIES; f++) {
		for (int e = 0; e < ENDINGS; e++) {
			if (common->ports[f][e] == port)
				return true;
		}
	}
	return false;
}

static int listen_on(enum family family, enum ending ending)
{
	struct sockaddr_storage own;
	socklen_t size = address(family, true, 0, &own);
	int fd = socket(own.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		die("socket");
	if (family != IPV4)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ family == IPV6 }, sizeof(int));
	if (bind(fd, (struct sockaddr *)&own, size) || listen(fd, 4096))
		die("listen");
	getsockname(fd, (struct sockaddr *)&own, &size);
	if (is_taken(port_of(&own))) {
		int other = listen_on(family, ending);

		close(fd);
		return other;
	}
	common->ports[family][ending] = port_of(&own);
	return fd;
}

/* Accept until told to stop, and do `take` with every connection. */
static void accept_all(void (*take)(const struct accepted *, uint64_t *), uint64_t random)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = UINT32_MAX };

	epoll_ctl(epoll, EPOLL_CTL_ADD, stop[0], &event);
	for (int f = 0; f < FAMILIES; f++) {
		for (int e = 0; e < ENDINGS; e++) {
			event.events = EPOLLIN | EPOLLEXCLUSIVE;
			event.data.u32 = f * ENDINGS + e;
			epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[f][e], &event);
		}
	}
	for (;;) {
		if (epoll_wait(epoll, &event, 1, -1) != 1)
			continue;
		if (event.data.u32 == UINT32_MAX)
			return;
		struct accepted accepted = { .family = event.data.u32 / ENDINGS, .ending = event.data.u32 % ENDINGS };
		struct sockaddr_storage peer;
		socklen_t size = sizeof(peer);

		accepted.fd = accept4(listeners[accepted.family][accepted.ending], (struct sockaddr *)&peer, &size,
				      SOCK_CLOEXEC);
		if (accepted.fd < 0)
			continue; /* another worker was faster */
		accepted.client_port = port_of(&peer);
		accepted.opened = seconds(CLOCK_MONOTONIC);
		take(&accepted, &random);
	}
}

static void hand_over(const struct accepted *accepted, uint64_t *random)
{
	(void)random;
	if (write(handover[1], accepted, sizeof(*accepted)) != sizeof(*accepted))
		die("handover");
}

static void *serve_in_thread(void *number)
{
	uint64_t random = 0xd1b54a32d192ed03 * ((uintptr_t)number + 1);
	struct accepted accepted;

	prctl(PR_SET_NAME, "ebt-tcp-thread");
	while (read(handover[0], &accepted, sizeof(accepted)) == sizeof(accepted))
		serve(&accepted, &random);
	return NULL;
}

static void run_threads(void)
{
	pthread_t threads[WORKERS_MAX];

	if (pipe2(handover, O_CLOEXEC))
		die("pipe");
	for (int s = 0; s < servers; s++)
		pthread_create(&threads[s], NULL, serve_in_thread, (void *)(uintptr_t)s);
	accept_all(hand_over, 1);
	close(handover[1]);
	for (int s = 0; s < servers; s++)
		pthread_join(threads[s], NULL);
}

static void run_forked(void)
{
	for (int s = 0; s < servers; s++) {
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			prctl(PR_SET_NAME, "ebt-tcp-worker");
			accept_all(serve, 0xd1b54a32d192ed03 * (s + 1));
			_exit(0);
		}
	}
	for (int s = 0; s < servers; s++)
		wait(NULL);
}

static void run_server(void)
{
	prctl(PR_SET_NAME, "ebt-tcp-server");
	common->listener = getpid();
	for (int f = 0; f < FAMILIES; f++) {
		for (int e = 0; e < ENDINGS; e++)
			listeners[f][e] = listen_on(f, e);
	}
	atomic_store(&common->listening, 1);
	if (!strcmp(kind, "single"))
		accept_all(serve, 0xd1b54a32d192ed03);
	else if (!strcmp(kind, "forked"))
		run_forked();
	else
		run_threads();
}

static pid_t start(void (*run)(int), int number)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(number);
		_exit(0);
	}
	return pid;
}

static void start_server(int unused)
{
	(void)unused;
	close(stop[1]);
	run_server();
}

static void print_accounts(const char *name, const struct account *accounts)
{
	static const char *const family_names[FAMILIES] = { "4", "6", "mapped" };

	printf("\"%s\":[", name);
	for (int i = 0; i < count; i++) {
		const struct account *a = &accounts[i];

		printf("%s[\"%s\",\"%s\",%u,%u,%.9f,%d,%u,%u]", i ? "," : "", family_names[a->family],
		       ending_names[a->ending], a->client_port, a->server_port, a->opened, a->pid, a->tx,
		       a->rx);
	}
	putchar(']');
}

int main(int argc, char **argv)
{
	int option, status = 0, failed = 0;

	while ((option = getopt(argc, argv, "n:c:s:k:r:f:e:")) != -1) {
		switch (option) {
		case 'n': count = atoi(optarg); break;
		case 'c': clients = atoi(optarg); break;
		case 's': servers = atoi(optarg); break;
		case 'k': kind = optarg; break;
		case 'r': per_second = atoi(optarg); break;
		case 'f': families = optarg; break;
		case 'e': endings = optarg; break;
		default:
			fprintf(stderr, "usage: %s [-n connections] [-c clients] [-k single|forked|threads] [-s workers] "
				"[-r per-second] [-f families of 46m] [-e endings of 0-9]\n", argv[0]);
			return 2;
		}
	}
	if (servers > WORKERS_MAX || clients > WORKERS_MAX) {
		fprintf(stderr, "at most %d clients or servers\n", WORKERS_MAX);
		return 2;
	}
	common = shared(sizeof(*common));
	client_accounts = shared((count + 1) * sizeof(struct account));
	server_accounts = shared((count + 1) * sizeof(struct account));
	if (pipe2(stop, O_CLOEXEC))
		die("pipe");
	pid_t server = start(start_server, 0);
	while (!atomic_load(&common->listening)) {
		if (waitpid(server, &status, WNOHANG) == server)
			return 1;
		sched_yield();
	}

	pid_t pids[WORKERS_MAX];
	double begin = seconds(CLOCK_MONOTONIC);
	for (int c = 0; c < clients; c++)
		pids[c] = start(run_client, c);
	for (int c = 0; c < clients; c++) {
		waitpid(pids[c], &status, 0);
		failed |= status;
	}
	while (!failed && atomic_load(&common->served) < count)
		usleep(1000);
	double elapsed = seconds(CLOCK_MONOTONIC) - begin;
	close(stop[1]);
	waitpid(server, &status, 0);
	if (failed | status)
		return 1;
	printf("{\"elapsed_s\":%.6f,\"listener_pid\":%d,", elapsed, common->listener);
	print_accounts("client", client_accounts);
	putchar(',');
	print_accounts("server", server_accounts);
	printf("}\n");
	return 0;
}
