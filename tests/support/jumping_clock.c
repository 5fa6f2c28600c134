#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/*
 * For programs of tests: a wall clock that is off by as many seconds as the 8 bytes (as this
 * machine has them) of the file COEXIST_TEST_CLOCK say, at any moment. What counts time from an
 * unknown beginning (CLOCK_MONOTONIC) is as it is. The linker takes these definitions for
 * those of the C library, in shared libraries too.
 */
int clock_gettime(clockid_t, struct timespec *);
time_t time(time_t *);
int gettimeofday(struct timeval *restrict, void *restrict);

static volatile const int64_t *offset;

__attribute__((constructor)) static void open_clock(void)
{
	const char *path = getenv("COEXIST_TEST_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *memory = fd >= 0
			   ? mmap(NULL, sizeof(*offset), PROT_READ, MAP_SHARED, fd, 0)
			   : MAP_FAILED;

	if (memory != MAP_FAILED) {
		offset = memory;
	}
	if (fd >= 0) {
		close(fd);
	}
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
	long result = syscall(SYS_clock_gettime, clock, out);

	if (result == 0 && offset &&
	    (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
		out->tv_sec += *offset;
	}
	return (int)result;
}

time_t time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (out) {
		*out = now.tv_sec;
	}
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	out->tv_sec = now.tv_sec;
	out->tv_usec = now.tv_nsec / 1000;
	return 0;
}
