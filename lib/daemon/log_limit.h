#ifndef CX_LOG_LIMIT_H
#define CX_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Keeps what a client can cause again and again from filling the log: at most `burst` lines
 * in each window, and the number of those that were left out. One thread.
 */
#define LOG_LIMIT_WINDOW_MS 10000

/*
 * Lines about what would have been refused (`observe`), for each worker of the policy service
 * and for the milter. A refusal has one line of ours and one of Postfix, which ends sessions
 * that have too many; what is let through has ours alone, as often as a stranger likes.
 */
#define LOG_LIMIT_OBSERVED 1000

struct log_limit {
	int64_t window_start_ms;
	unsigned lines;
	unsigned long dropped;
};

/*
 * Whether a line may be written now. *dropped is how many were left out since the last
 * one that could be (0 when the answer is false).
 */
bool log_limit_allow(struct log_limit *, unsigned burst, int64_t now_ms,
    unsigned long *dropped);

#endif
