#include "config.h"

#include "syncd/sync_times.h"

#define SECOND ((int64_t)1000)
#define MINUTE (60 * SECOND)

const struct sync_times sync_times = {
	.first_retry = 50,
	.backoff_min = 1 * SECOND,
	.backoff_max = 5 * MINUTE,
	.attempt_max = 7 * SECOND,
	.stable = 10 * SECOND,
	.settle = 10,
	.cookie = 10 * SECOND,
	.silence = 60 * SECOND,
	.refresh_max = 30 * MINUTE,
	.probe = 30 * SECOND,
	.newer = 5 * SECOND,
	.container = 5 * SECOND,
	.forced_refresh = 60 * MINUTE,
	.persist_again = 60 * MINUTE,
	.watch = 1 * SECOND,
	.lag_grace = 10 * MINUTE,
	.poll_overlap = 10 * MINUTE,
	.poll_identities = 5 * MINUTE,
	.poll_pass_max = 30 * MINUTE,
	.reread = { 100, 500, 2 * SECOND, 5 * SECOND },
	.look = 500,
	.housekeeping = 5 * SECOND,
	.old_reader = 10 * SECOND,
};
