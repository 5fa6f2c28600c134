#include "config.h"

#include "no_memory.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * The linker takes these definitions for those of the C library, also in shared libraries. Each
 * goes on to the next definition: the C library's, or a sanitizer's.
 */

/* Called before ThreadSanitizer is ready for what it adds to functions. */
#define NOT_WATCHED __attribute__((no_sanitize("thread")))

static __thread unsigned long calls, fails_at;
static __thread bool is_armed, is_lasting;

void no_memory_arm(unsigned long n, bool lasts)
{
	calls = 0;
	fails_at = n;
	is_lasting = lasts;
	is_armed = true;
}

unsigned long no_memory_disarm(void)
{
	is_armed = false;
	return calls;
}

NOT_WATCHED static bool is_faulty(void)
{
	if (!is_armed) {
		return false;
	}
	calls++;
	if (calls == fails_at || (is_lasting && fails_at > 0 && calls > fails_at)) {
		errno = ENOMEM;
		return true;
	}
	return false;
}

/* For what is wanted while the next definitions are being looked for. */
static union {
	max_align_t alignment;
	char bytes[4096];
} early;
static size_t early_used;

NOT_WATCHED static void *get_early(size_t size)
{
	size_t start = (early_used + sizeof(max_align_t) - 1) / sizeof(max_align_t) *
		       sizeof(max_align_t);

	if (size > sizeof(early.bytes) - start) {
		abort();
	}
	early_used = start + size;
	return early.bytes + start;
}

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static bool is_looking;

NOT_WATCHED static void __attribute__((constructor)) look(void)
{
	if (next_realloc != NULL || is_looking) {
		return;
	}
	is_looking = true;
	next_malloc = (__typeof__(next_malloc))dlsym(RTLD_NEXT, "malloc");
	next_calloc = (__typeof__(next_calloc))dlsym(RTLD_NEXT, "calloc");
	next_realloc = (__typeof__(next_realloc))dlsym(RTLD_NEXT, "realloc");
	is_looking = false;
}

NOT_WATCHED void *malloc(size_t size)
{
	look();
	if (is_looking) {
		return get_early(size);
	}
	return is_faulty() ? NULL : next_malloc(size);
}

NOT_WATCHED void *calloc(size_t count, size_t size)
{
	look();
	if (is_looking) {
		return get_early(count * size); /* zero, as it is given out once */
	}
	return is_faulty() ? NULL : next_calloc(count, size);
}

NOT_WATCHED void *realloc(void *old, size_t size)
{
	look();
	return is_faulty() ? NULL : next_realloc(old, size);
}

NOT_WATCHED void *reallocarray(void *old, size_t count, size_t size)
{
	if (size > 0 && count > SIZE_MAX / size) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(old, count * size);
}
