/*
 * Preloaded into the Sendmail of the tests, which asks the system for what a test must say
 * itself: the name of this host (without a dotted one it sleeps a minute), the addresses
 * of other hosts, who a client is (Sendmail has no XCLIENT), and where its log goes (there is
 * no syslogd). CX_NAME, CX_HOSTS (lines
 * "ADDRESS NAME") and CX_LOG are set when this is compiled: Sendmail clears its environment.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define HOST_LINE_MAX 512
#define LOG_LINE_MAX 4096

void __syslog_chk(int priority, int flag, const char *fmt, ...);

int gethostname(char *name, size_t size)
{
	snprintf(name, size, "%s", CX_NAME);
	return 0;
}

/* In the hosts file of the test, or nowhere. */
struct hostent *gethostbyname2(const char *name, int family)
{
	static char found[HOST_LINE_MAX];
	static struct in_addr address;
	static char *addresses[2] = { (char *)&address, NULL };
	static char *aliases[1] = { NULL };
	static struct hostent entry = { found, aliases, AF_INET, sizeof(address), addresses };
	char line[HOST_LINE_MAX];
	char text[HOST_LINE_MAX];
	struct hostent *result = NULL;
	FILE *hosts = fopen(CX_HOSTS, "r");

	h_errno = HOST_NOT_FOUND;
	while (hosts && family == AF_INET && !result &&
	       fgets(line, sizeof(line), hosts)) {
		if (sscanf(line, "%511s %511s", text, found) == 2 &&
		    strcasecmp(found, name) == 0 &&
		    inet_pton(AF_INET, text, &address) == 1) {
			result = &entry;
		}
	}
	if (hosts) {
		fclose(hosts);
	}
	return result;
}

/* No address has a name: no test waits for a name server. */
struct hostent *gethostbyaddr(const void *address, socklen_t len, int family)
{
	(void)address;
	(void)len;
	(void)family;
	h_errno = HOST_NOT_FOUND;
	return NULL;
}

/* 127.192.2.7 stands for 192.0.2.7, and 127.198.100.7 for 198.51.100.7. */
static void translate(struct sockaddr *address)
{
	static const struct {
		uint32_t here, there;
	} nets[] = { { 0x7fc00200, 0xc0000200 }, { 0x7fc66400, 0xc6336400 } };
	struct sockaddr_in *in = (struct sockaddr_in *)address;

	if (address == NULL || address->sa_family != AF_INET) {
		return;
	}
	for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
		uint32_t host = ntohl(in->sin_addr.s_addr);

		if ((host & 0xffffff00) == nets[i].here) {
			in->sin_addr.s_addr = htonl(nets[i].there | (host & 0xff));
			return;
		}
	}
}

int accept(int fd, struct sockaddr *address, socklen_t *len)
{
	int result = (int)syscall(SYS_accept4, fd, address, len, 0);

	if (result >= 0) {
		translate(address);
	}
	return result;
}

int getpeername(int fd, struct sockaddr *address, socklen_t *len)
{
	int result = (int)syscall(SYS_getpeername, fd, address, len);

	if (result == 0) {
		translate(address);
	}
	return result;
}

/* One write a line: several processes share the file. */
void __syslog_chk(int priority, int flag, const char *fmt, ...)
{
	static const char *const levels[] = { "emerg", "alert", "crit", "err", "warning",
		"notice", "info", "debug" };
	char text[LOG_LINE_MAX];
	char line[LOG_LINE_MAX + 128];
	va_list args;
	int fd = open(CX_LOG, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	int len;

	(void)flag;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	len = snprintf(line, sizeof(line), "%ld sendmail[%d] %s: %s\n", (long)time(NULL),
	    (int)getpid(), levels[priority & LOG_PRIMASK], text);
	if (fd >= 0) {
		if (write(fd, line, (size_t)len) < 0) {
			/* nobody to tell */
		}
		close(fd);
	}
}
