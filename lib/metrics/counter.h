#ifndef CX_COUNTER_H
#define CX_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * Numbers that a daemon raises while it works and shows to who watches it. Any thread, no
 * lock: one addition, relaxed, as nothing is concluded from one number about another.
 */
struct counter {
	atomic_uint_fast64_t value;
};

static inline void counter_add(struct counter *counter, uint64_t n)
{
	atomic_fetch_add_explicit(&counter->value, n, memory_order_relaxed);
}

static inline void counter_subtract(struct counter *counter, uint64_t n)
{
	atomic_fetch_sub_explicit(&counter->value, n, memory_order_relaxed);
}

static inline uint64_t counter_value(const struct counter *counter)
{
	return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

/*
 * How long something took, in classes: up to each of histogram_bounds_ns, and longer. From
 * what a look-up in memory takes to what makes an MTA wait.
 */
#define HISTOGRAM_BOUNDS 14
extern const uint64_t histogram_bounds_ns[HISTOGRAM_BOUNDS];

struct histogram {
	struct counter classes[HISTOGRAM_BOUNDS + 1];
	struct counter sum_ns;
};

void histogram_add(struct histogram *, uint64_t ns);
/* Nanoseconds that never go back; no system call where the kernel can do without. */
uint64_t histogram_clock_ns(void);

#endif
