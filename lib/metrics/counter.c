#include "config.h"

#include "metrics/counter.h"

#include <time.h>

const uint64_t histogram_bounds_ns[HISTOGRAM_BOUNDS] = { 1000, 2500, 5000, 10000, 25000,
	50000, 100000, 250000, 1000000, 5000000, 25000000, 100000000, 1000000000,
	10000000000 };

void histogram_add(struct histogram *histogram, uint64_t ns)
{
	unsigned class = 0;

	while (class < HISTOGRAM_BOUNDS && ns > histogram_bounds_ns[class]) {
		class ++;
	}
	counter_add(&histogram->classes[class], 1);
	counter_add(&histogram->sum_ns, ns);
}

uint64_t histogram_clock_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
