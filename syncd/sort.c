#include "config.h"

#include "syncd/sort.h"

#include <stdlib.h>
#include <string.h>

#include "value/spool.h"

/* So many are left to qsort(): they fit into a cache. */
#define RUN 4096

struct sorting {
	size_t count, size;
	int (*compare)(const void *, const void *);
};

/* Two runs that lie side by side in `from`, [start, middle) and [middle, end). */
static void merge(const struct sorting *s, const char *from, char *to, size_t start,
    size_t middle, size_t end)
{
	size_t left = start, right = middle;

	for (size_t at = start; at < end; at++) {
		const char *a = from + left * s->size, *b = from + right * s->size;
		bool is_left =
		    right == end || (left < middle && s->compare(a, b) <= 0);

		memcpy(to + at * s->size, is_left ? a : b, s->size);
		left += is_left;
		right += !is_left;
	}
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* True: the result is in `other`. */
static bool merge_runs(const struct sorting *s, char *array, char *other)
{
	bool is_in_other = false;

	for (size_t run = RUN; run < s->count; run *= 2) {
		const char *from = is_in_other ? other : array;
		char *to = is_in_other ? array : other;

		for (size_t start = 0; start < s->count; start += 2 * run) {
			merge(s, from, to, start, least(start + run, s->count),
			    least(start + 2 * run, s->count));
		}
		is_in_other = !is_in_other;
	}
	return is_in_other;
}

enum status sort_large(void *array, size_t count, size_t size,
    int (*compare)(const void *, const void *), const char *directory)
{
	struct sorting sorting = { count, size, compare };
	struct spool spool;
	enum status status = CX_OK;

	for (size_t start = 0; start < count; start += RUN) {
		qsort((char *)array + start * size, least(RUN, count - start), size,
		    compare);
	}
	if (count <= RUN) {
		return CX_OK;
	}
	spool_init(&spool, directory);
	if (!spool_extend(&spool, count * size)) {
		status = spool_failure(&spool, NULL);
	} else if (merge_runs(&sorting, array, spool.data)) {
		memcpy(array, spool.data, count * size);
	}
	spool_release(&spool);
	return status;
}
