#include "config.h"

#include "syncd/sync_times.h"

/*
 * The times of coexist-syncd-fast, which is coexist-syncd but for them: what takes a minute
 * or a day there can be waited for in a test.
 */
const struct sync_times sync_times = {
	.first_retry = 10,
	.backoff_min = 100,
	.backoff_max = 2000,
	.attempt_max = 2000,
	.stable = 1000,
	.settle = 5,
	.cookie = 100,
	.silence = 3000,
	.refresh_max = 60000,
	.probe = 300,
	.newer = 200,
	.container = 200,
	.forced_refresh = 1000,
	.persist_again = 1000,
	.watch = 100,
	.lag_grace = 4000,
	.poll_overlap = 2000,
	.poll_identities = 500,
	.poll_pass_max = 60000,
	.reread = { 50, 200, 500, 500 },
	.look = 50,
	.housekeeping = 200,
	.old_reader = 1000,
};
