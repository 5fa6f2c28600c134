#include "config.h"

#include "daemon/conf.h"

#include <string.h>

/* Nothing here waits longer; and no unit makes this overflow 64 bits. */
#define TIME_NUMBER_MAX INT64_C(100000000000)

static const struct {
	const char *name;
	int64_t ms;
} time_units[] = {
	{ "", 1000 },
	{ "ms", 1 },
	{ "s", 1000 },
	{ "m", INT64_C(60) * 1000 },
	{ "h", INT64_C(3600) * 1000 },
	{ "d", INT64_C(86400) * 1000 },
};

int64_t conf_full_interval_ms(const struct conf_directory *directory, bool is_polled)
{
	if (directory->full_interval_ms > 0) {
		return directory->full_interval_ms;
	}
	return is_polled ? INT64_C(15) * 60 * 1000 : INT64_C(24) * 3600 * 1000;
}

enum status conf_parse_time(const char *text, int64_t *out_ms)
{
	const char *p = text;
	int64_t number = 0;

	while (*p >= '0' && *p <= '9') {
		number = number * 10 + (*p++ - '0');
		if (number > TIME_NUMBER_MAX) {
			return CX_EINVAL;
		}
	}
	if (p == text) {
		return CX_EINVAL;
	}
	for (size_t i = 0; i < sizeof(time_units) / sizeof(time_units[0]); i++) {
		if (strcmp(p, time_units[i].name) == 0) {
			*out_ms = number * time_units[i].ms;
			return CX_OK;
		}
	}
	return CX_EINVAL;
}
