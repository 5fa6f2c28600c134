#include "config.h"

#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * The linker takes these definitions for those of the C library, also in shared libraries. Each
 * counts, and goes on to the next definition: the C library's, or a sanitizer's.
 */
enum {
	PAGE = 4096
};
static atomic_ulong calls, fails_at;
static atomic_int fails_with;

void faults_arm(unsigned long n, int error)
{
	atomic_store(&fails_with, error);
	atomic_store(&calls, 0);
	atomic_store(&fails_at, n);
}

unsigned long faults_disarm(void)
{
	atomic_store(&fails_at, 0);
	return atomic_load(&calls);
}

/* Before there are threads: the library's own start. */
static void __attribute__((constructor)) arm_from_environment(void)
{
	const char *n = getenv("COEXIST_TEST_KILL_AT");

	if (n) {
		faults_arm(strtoul(n, NULL, 10), FAULT_KILL);
	}
}

/* Whether this call is to fail; errno says how. */
static bool is_faulty(void)
{
	unsigned long call = atomic_fetch_add(&calls, 1) + 1;
	unsigned long at = atomic_load(&fails_at);
	int error = atomic_load(&fails_with);

	if (at == 0 || call < at) {
		return false;
	}
	errno = error;
	return true;
}

/* What a call that is_faulty() returns: nothing, where the process dies. */
static int fail(int error)
{
	if (error == FAULT_KILL) {
		kill(getpid(), SIGKILL);
	}
	errno = error;
	return -1;
}

/* Files, not sockets, pipes, or what is logged. */
static bool is_faulty_file(int fd)
{
	int saved = errno;
	struct stat info;

	if (fd <= STDERR_FILENO || fstat(fd, &info) < 0 || S_ISSOCK(info.st_mode) ||
	    S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode)) {
		errno = saved;
		return false;
	}
	errno = saved;
	return is_faulty();
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	if (is_faulty_file(fd)) {
		int error = errno;
		size_t half = len / 2 / PAGE * PAGE;

		/* Of several pages some are written; one is written or not. */
		if (half > 0 && NEXT(pwrite)(fd, bytes, half, at) < 0) {
			return fail(errno);
		}
		return fail(error);
	}
	return NEXT(pwrite)(fd, bytes, len, at);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	return is_faulty_file(fd) ? fail(errno) : NEXT(write)(fd, bytes, len);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	return is_faulty_file(fd) ? fail(errno) : NEXT(writev)(fd, parts, count);
}

int fdatasync(int fd)
{
	return is_faulty_file(fd) ? fail(errno) : NEXT(fdatasync)(fd);
}

int fsync(int fd)
{
	return is_faulty_file(fd) ? fail(errno) : NEXT(fsync)(fd);
}

int ftruncate(int fd, off_t size)
{
	return is_faulty_file(fd) ? fail(errno) : NEXT(ftruncate)(fd, size);
}

int posix_fallocate(int fd, off_t at, off_t len)
{
	return is_faulty_file(fd) ? (fail(errno), errno)
				  : NEXT(posix_fallocate)(fd, at, len);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return is_faulty() ? fail(errno) : NEXT(renameat)(from_fd, from, to_fd, to);
}

int symlinkat(const char *target, int fd, const char *name)
{
	return is_faulty() ? fail(errno) : NEXT(symlinkat)(target, fd, name);
}

int unlinkat(int fd, const char *name, int flags)
{
	return is_faulty() ? fail(errno) : NEXT(unlinkat)(fd, name, flags);
}
