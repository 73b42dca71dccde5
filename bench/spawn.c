/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What others do to keep requests apart: a new process for each.
 *
 *	spawn PORT PROGRAM [ARGS...]
 *	spawn -f PORT
 *
 * Serves 127.0.0.1:PORT.  For each connection a process is made that starts
 * PROGRAM, an HTTP server, on a Unix socket of its own (`PORT` in ARGS becomes
 * unix:PATH), hands it the request as soon as it takes connections, copies the
 * answer, and ends it.  With -f there is no program: the process answers the
 * request itself, which costs a fork but no exec.
 */

#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_US	50
#define CONNECT_TRIES	200000
#define ARGS_MAX	32

static char folder[] = "/tmp/tkvm-spawn.XXXXXX";

static void __attribute__((noreturn))
die(const char *what)
{
	perror(what);
	exit(1);
}

static int
send_all(int fd, const char *p, size_t len)
{
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n) {
		n = send(fd, p, len, MSG_NOSIGNAL);
		if (n <= 0)
			return (-1);
	}
	return (0);
}

/* A request without a body: its length, 0: none came. */
static size_t
read_request(int fd, char *buf, size_t size)
{
	size_t have = 0;
	ssize_t n;

	while (have + 1 < size) {
		n = recv(fd, buf + have, size - 1 - have, 0);
		if (n <= 0)
			return (0);
		have += (size_t)n;
		buf[have] = '\0';
		if (strstr(buf, "\r\n\r\n") != NULL)
			return (have);
	}
	return (0);
}

/* ---- the answer ---------------------------------------------------------- */

static int
is_whole(char *buf, size_t have)
{
	const char *body, *p;

	buf[have] = '\0';
	body = strstr(buf, "\r\n\r\n");
	if (body == NULL)
		return (0);
	p = strcasestr(buf, "\r\ncontent-length:");
	if (p != NULL && p < body)
		return (have - (size_t)(body + 4 - buf) >=
		    strtoul(p + 17, NULL, 10));
	return (have >= 5 && memcmp(buf + have - 5, "0\r\n\r\n", 5) == 0);
}

static void
copy_answer(int from, int to)
{
	static char buf[1 << 20];
	size_t have = 0;
	ssize_t n;

	while (have + 1 < sizeof buf && !is_whole(buf, have)) {
		n = recv(from, buf + have, sizeof buf - 1 - have, 0);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	(void)send_all(to, buf, have);
}

static pid_t
start(char **argv, const char *path)
{
	char address[128], *args[ARGS_MAX + 1];
	unsigned u;
	pid_t pid;

	(void)snprintf(address, sizeof address, "unix:%s", path);
	for (u = 0; u < ARGS_MAX && argv[u] != NULL; u++)
		args[u] = strcmp(argv[u], "PORT") == 0 ? address : argv[u];
	args[u] = NULL;
	if (u == 0 || posix_spawn(&pid, args[0], NULL, NULL, args,
	    environ) != 0)
		_exit(127);
	return (pid);
}

static int
dial(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	unsigned u;
	int s;

	(void)snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
	for (u = 0; u < CONNECT_TRIES; u++) {
		s = socket(AF_UNIX, SOCK_STREAM, 0);
		if (connect(s, (struct sockaddr *)&sun, sizeof sun) == 0)
			return (s);
		(void)close(s);
		(void)usleep(CONNECT_US);
	}
	return (-1);
}

static void
serve(int fd, char **argv)
{
	static const char hello[] = "HTTP/1.1 200 OK\r\n"
	    "Content-Type: text/plain\r\nContent-Length: 14\r\n"
	    "Connection: close\r\n\r\nHello, World!\n";
	char request[16384], path[64];
	size_t len;
	pid_t pid;
	int s;

	len = read_request(fd, request, sizeof request);
	if (len == 0)
		return;
	if (argv == NULL) {
		(void)send_all(fd, hello, strlen(hello));
		return;
	}
	(void)snprintf(path, sizeof path, "%s/%d", folder, (int)getpid());
	pid = start(argv, path);
	s = dial(path);
	if (s >= 0 && send_all(s, request, len) == 0)
		copy_answer(s, fd);
	(void)close(fd);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	(void)unlink(path);
}

/* ---- the server ---------------------------------------------------------- */

static void
finish(int sig)
{

	(void)sig;
	(void)rmdir(folder);
	_exit(0);
}

static int
listen_at(const char *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	sin.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	(void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(s, (struct sockaddr *)&sin, sizeof sin) != 0 ||
	    listen(s, 128) != 0)
		die(port);
	return (s);
}

int
main(int argc, char **argv)
{
	int only_fork = argc == 3 && strcmp(argv[1], "-f") == 0, s, c;

	if (argc < 3)
		return (2);
	s = listen_at(argv[only_fork ? 2 : 1]);
	if (mkdtemp(folder) == NULL)
		die(folder);
	(void)signal(SIGTERM, finish);
	for (;;) {
		c = accept4(s, NULL, NULL, SOCK_CLOEXEC);
		/* Those that have ended, so that their time is counted. */
		while (waitpid(-1, NULL, WNOHANG) > 0)
			continue;
		if (c < 0)
			continue;
		if (fork() == 0) {
			(void)signal(SIGTERM, SIG_DFL);
			(void)close(s);
			serve(c, only_fork ? NULL : argv + 2);
			_exit(0);
		}
		(void)close(c);
	}
}
