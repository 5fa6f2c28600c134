#include "config.h"

#include "daemon/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

/*
 * systemd names the device and inode of the journal's stream; only while standard
 * error is still that one may lines carry <N> (sd-daemon(3), systemd.exec(5)).
 */
bool journal_has_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;
	char end;

	if (stream == NULL ||
	    sscanf(stream, "%llu:%llu%c", &device, &inode, &end) != 2) {
		return false;
	}
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == (dev_t)device &&
	       st.st_ino == (ino_t)inode;
}

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
/* How long a line may wait for a journal that takes none, before the next wait no longer. */
#define WAIT_MS 500
/* As libsystemd has it: only the journal's own queue is to be full. */
#define SEND_BUFFER (8 * 1024 * 1024)
/* All fields of an entry: its message twice (whole, and in parts), and their names. */
#define ENTRY_MAX 20480

static int journal_fd = -1;
static atomic_bool is_stuck;
static atomic_ulong lost;

bool journal_open(void)
{
	const struct timeval wait = { .tv_usec = WAIT_MS * 1000 };
	const int size = SEND_BUFFER;

	if (access(JOURNAL_SOCKET, W_OK) != 0) {
		return false;
	}
	if (journal_fd < 0) {
		journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	}
	if (journal_fd >= 0) {
		/* Less, where the system allows no more. */
		(void)setsockopt(journal_fd, SOL_SOCKET, SO_SNDBUF, &size,
		    sizeof(size));
	}
	return journal_fd >= 0 && setsockopt(journal_fd, SOL_SOCKET, SO_SNDTIMEO, &wait,
				      sizeof(wait)) == 0;
}

/*
 * A field whose value may have any byte in it: name, line end, length in 64 bits, value, line
 * end. One that does not fit is left out.
 */
static void add(struct buf *entry, const char *name, struct span value)
{
	uint8_t length[8];

	if (entry->size - entry->len < strlen(name) + sizeof(length) + value.len + 3) {
		return;
	}
	for (size_t i = 0; i < sizeof(length); i++) {
		length[i] = (uint8_t)((uint64_t)value.len >> 8 * i);
	}
	buf_add_text(entry, name);
	buf_add_char(entry, '\n');
	buf_add(entry, length, sizeof(length));
	buf_add_span(entry, value);
	buf_add_char(entry, '\n');
}

static void add_number(struct buf *entry, const char *name, int value)
{
	char digits[16];
	int len = snprintf(digits, sizeof(digits), "%d", value);

	add(entry, name, (struct span){ digits, (size_t)len });
}

static void add_head(struct buf *entry, int priority, const char *identifier,
    const char *message)
{
	add(entry, "MESSAGE", span_of(message));
	add_number(entry, "PRIORITY", priority);
	add_number(entry, "SYSLOG_FACILITY", LOG_MAIL >> 3);
	add(entry, "SYSLOG_IDENTIFIER", span_of(identifier));
}

/* By name each time: who takes them may have been started anew. */
static bool send_entry(const struct buf *entry, int flags)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX,
		.sun_path = JOURNAL_SOCKET };
	struct iovec part = { .iov_base = entry->data, .iov_len = entry->len };
	const struct msghdr message = { .msg_name = &address,
		.msg_namelen = sizeof(address),
		.msg_iov = &part,
		.msg_iovlen = 1 };
	ssize_t n;

	do {
		n = sendmsg(journal_fd, &message, MSG_NOSIGNAL | flags);
	} while (n < 0 && errno == EINTR);
	return n >= 0;
}

/* Mail does not wait for a journal that hangs; a short jam must not cost a line, though. */
static enum journal_result deliver(const struct buf *entry)
{
	if (send_entry(entry, MSG_DONTWAIT)) {
		return JOURNAL_TAKEN;
	}
	if (errno == EAGAIN && !atomic_load(&is_stuck) && send_entry(entry, 0)) {
		return JOURNAL_TAKEN;
	}
	return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? JOURNAL_LOST
								      : JOURNAL_NOBODY;
}

/* Behind a line that may have waited: this does not, and is told with the next one. */
static void tell_of_lost(const char *identifier)
{
	unsigned long count = atomic_exchange(&lost, 0);
	char memory[512], message[128];
	struct buf entry;

	if (count == 0) {
		return;
	}
	snprintf(message, sizeof(message),
	    "warning: %lu lines of log were lost: the journal took none", count);
	buf_init_fixed(&entry, memory, sizeof(memory));
	add_head(&entry, LOG_WARNING, identifier, message);
	if (!send_entry(&entry, MSG_DONTWAIT)) {
		atomic_fetch_add(&lost, count);
	}
}

enum journal_result journal_send(int priority, const char *identifier,
    const char *message, const struct log_line *line)
{
	char memory[ENTRY_MAX];
	struct buf entry;
	struct span part;
	enum journal_result result;

	buf_init_fixed(&entry, memory, sizeof(memory));
	add_head(&entry, priority, identifier, message);
	for (int i = 0; line != NULL && i < LOG_FIELD_COUNT; i++) {
		if (log_line_part(line, (enum log_field)i, &part)) {
			add(&entry, log_field_name((enum log_field)i), part);
		}
	}
	result = deliver(&entry);
	atomic_store(&is_stuck, result == JOURNAL_LOST);
	if (result == JOURNAL_LOST) {
		atomic_fetch_add(&lost, 1);
	} else if (result == JOURNAL_TAKEN) {
		tell_of_lost(identifier);
	}
	return result;
}
