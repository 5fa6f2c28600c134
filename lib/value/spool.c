#include "config.h"

#include "value/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A file grows by its own size, within these bounds. */
#define GROWTH_MIN ((size_t)1 << 20)
#define GROWTH_MAX ((size_t)64 << 20)

/* The name of a file that is about to lose it, where there is no O_TMPFILE. */
#define DRAFT_NAME "spool.tmp"

void spool_init(struct spool *spool, const char *directory)
{
	*spool = (struct spool){
		.directory = directory, .heap_max = SPOOL_HEAP_MAX, .fd = -1
	};
}

static void drop_memory(struct spool *spool)
{
	if (spool->is_mapped) {
		munmap(spool->data, spool->size);
	} else {
		free(spool->data);
	}
	if (spool->fd >= 0) {
		close(spool->fd);
	}
	spool->data = NULL;
	spool->len = 0;
	spool->size = 0;
	spool->is_mapped = false;
	spool->fd = -1;
}

void spool_release(struct spool *spool)
{
	if (spool) {
		drop_memory(spool);
	}
}

void spool_clear(struct spool *spool)
{
	if (spool->is_mapped) {
		drop_memory(spool);
	}
	spool->len = 0;
	spool->error = 0;
}

void spool_rewind(struct spool *spool)
{
	spool->len = 0;
	spool->error = 0;
}

/*
 * Anybody who finds the name removes it: it is only there for a moment, or since a kill -9.
 */
static int open_named(const char *directory)
{
	char path[PATH_MAX];
	int fd = -1;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory, DRAFT_NAME) >=
	    sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (int attempt = 0; attempt < 10 && fd < 0; attempt++) {
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		    0600);
		if (fd < 0 && errno != EEXIST) {
			return -1;
		}
		unlink(path);
	}
	return fd;
}

static int open_nameless(const char *directory)
{
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	/* EISDIR and ENOENT: a kernel that does not know the flag. */
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
		fd = open_named(directory);
	}
	return fd;
}

/*
 * ThreadSanitizer knows mmap(), and not mremap(): what another thread wrote there, in memory
 * that is no more, would be a race to it.
 */
static void *enlarge_map(struct spool *spool, size_t size)
{
#ifdef __SANITIZE_THREAD__
	void *data =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, spool->fd, 0);

	if (data != MAP_FAILED) {
		munmap(spool->data, spool->size);
	}
	return data;
#else
	return mremap(spool->data, spool->size, size, MREMAP_MAYMOVE);
#endif
}

static bool map_file(struct spool *spool, size_t size)
{
	size_t had = spool->is_mapped ? spool->size : 0;
	int rc;

	/* A signal of the program's own ends it on some file systems (tmpfs). */
	do {
		rc = posix_fallocate(spool->fd, (off_t)had, (off_t)(size - had));
	} while (rc == EINTR);
	if (rc != 0) {
		errno = rc;
		return false;
	}
	void *data =
	    spool->is_mapped
		? enlarge_map(spool, size)
		: mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, spool->fd, 0);

	if (data == MAP_FAILED) {
		return false;
	}
	spool->data = data;
	spool->size = size;
	return true;
}

/* From the heap into a file. */
static bool move_to_file(struct spool *spool, size_t size)
{
	char *old = spool->data;

	spool->fd = open_nameless(spool->directory);
	if (spool->fd < 0) {
		return false;
	}
	if (!map_file(spool, size)) {
		int error = errno;

		close(spool->fd);
		spool->fd = -1;
		errno = error;
		return false;
	}
	spool->is_mapped = true;
	if (spool->len > 0) {
		memcpy(spool->data, old, spool->len);
	}
	free(old);
	return true;
}

static bool grow_file(struct spool *spool, size_t wanted)
{
	size_t growth = spool->is_mapped ? spool->size : wanted;
	size_t size;

	growth = growth < GROWTH_MIN ? GROWTH_MIN : growth;
	growth = growth > GROWTH_MAX ? GROWTH_MAX : growth;
	size = (spool->is_mapped ? spool->size : 0) + growth;
	if (size < wanted) {
		size = (wanted + GROWTH_MIN - 1) / GROWTH_MIN * GROWTH_MIN;
	}
	return spool->is_mapped ? map_file(spool, size) : move_to_file(spool, size);
}

static bool grow_heap(struct spool *spool, size_t wanted)
{
	size_t size = spool->size < 2048 ? 4096 : 2 * spool->size;

	size = size < wanted ? wanted : size;
	size = size > spool->heap_max ? spool->heap_max : size;
	char *data = realloc(spool->data, size);

	if (!data) {
		return false;
	}
	spool->data = data;
	spool->size = size;
	return true;
}

void *spool_extend(struct spool *spool, size_t len)
{
	assert(!spool->is_mapped || spool->fd >= 0 || len <= spool->size - spool->len);
	if (len > spool->size - spool->len) {
		size_t wanted = spool->len + len;
		bool is_grown = false;

		if (len > (size_t)PTRDIFF_MAX / 2 - spool->len) {
			errno = ENOMEM;
		} else if (!spool->is_mapped && wanted <= spool->heap_max) {
			is_grown = grow_heap(spool, wanted);
		} else {
			is_grown = grow_file(spool, wanted);
		}
		if (!is_grown) {
			spool->error = errno;
			return NULL;
		}
	}
	void *at = spool->data ? spool->data + spool->len : NULL;

	spool->len += len;
	return at;
}

enum status spool_add(struct spool *spool, const void *bytes, size_t len)
{
	if (len == 0) {
		return CX_OK;
	}
	void *at = spool_extend(spool, len);

	if (!at) {
		return spool_failure(spool, NULL);
	}
	memcpy(at, bytes, len);
	return CX_OK;
}

void spool_seal(struct spool *spool)
{
	if (spool->fd < 0) {
		return;
	}
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t size = (spool->len + page - 1) / page * page;

	size = size < page ? page : size;
	/* The mapping first: what is mapped beyond the end of a file must not be touched. */
	if (size < spool->size) {
		void *data = mremap(spool->data, spool->size, size, 0);

		if (data != MAP_FAILED) {
			spool->data = data;
			spool->size = size;
			/* Should it fail, the space is kept until the spool goes. */
			(void)!ftruncate(spool->fd, (off_t)size);
		}
	}
	close(spool->fd);
	spool->fd = -1;
}

void spool_forget(struct spool *spool, size_t offset, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t start = (offset + page - 1) / page * page;
	size_t end = (offset + len) / page * page;

	assert(offset <= spool->len && len <= spool->len - offset);
	/* Where the file system cannot do that, it is as if it had not been asked. */
	if (spool->is_mapped && start < end) {
		(void)madvise(spool->data + start, end - start, MADV_REMOVE);
	}
}

struct span spool_at(const struct spool *spool, size_t offset, size_t len)
{
	assert(offset <= spool->len && len <= spool->len - offset);
	return (struct span){ len > 0 ? spool->data + offset : NULL, len };
}

enum status spool_failure(const struct spool *spool, struct errbuf *err)
{
	if (spool->error == 0) {
		return CX_OK;
	}
	if (err) {
		errbuf_set(err, "scratch file in %s: %s", spool->directory,
		    strerror(spool->error));
	}
	return spool->error == ENOMEM ? CX_ENOMEM : CX_EIO;
}
