#include "config.h"

#include "daemon/log_limit.h"

bool log_limit_allow(struct log_limit *limit, unsigned burst, int64_t now_ms,
    unsigned long *dropped)
{
	*dropped = 0;
	if (limit->lines == 0 ||
	    now_ms - limit->window_start_ms >= LOG_LIMIT_WINDOW_MS) {
		limit->window_start_ms = now_ms;
		limit->lines = 0;
	}
	if (limit->lines >= burst) {
		limit->dropped++;
		return false;
	}
	limit->lines++;
	*dropped = limit->dropped;
	limit->dropped = 0;
	return true;
}
