#ifndef CX_METRICS_PAGE_H
#define CX_METRICS_PAGE_H

#include "metrics/counter.h"
#include "value/buf.h"

/*
 * The text format of Prometheus (version 0.0.4): page_family() and then its series, each
 * family once in a page. Names and help are constants; values of labels may be anything.
 * What fails shows in the buffer.
 */
enum page_type {
	PAGE_COUNTER, /* only grows; its name ends in _total */
	PAGE_GAUGE,
};

struct page_label {
	const char *name; /* NULL ends a list */
	struct span value;
};
/* A list of labels: PAGE_LABELS({ "verdict", SPAN("deliver") }). */
#define PAGE_LABELS(...)     \
 (const struct page_label[]) \
 {                           \
  __VA_ARGS__,               \
  {                          \
   NULL,                     \
   {                         \
    NULL, 0                  \
   }                         \
  }                          \
 }

void page_family(struct buf *, const char *name, enum page_type, const char *help);
/* One series. `labels` may be NULL. */
void page_count(struct buf *, const char *name, const struct page_label *labels,
    uint64_t value);
/* The same for what need not be whole, nor finite, nor known (NAN). */
void page_number(struct buf *, const char *name, const struct page_label *labels,
    double value);

/* A whole family of counters with one label, of which names[i] is the value for numbers[i]. */
void page_counters(struct buf *, const char *name, const char *help, const char *label,
    const char *const *names, const struct counter *numbers, size_t count);

/* The series of one histogram, in seconds, each with `label` before "le". */
void page_histogram_family(struct buf *, const char *name, const char *help);
void page_histogram(struct buf *, const char *name, const struct page_label *label,
    const struct histogram *);

#endif
