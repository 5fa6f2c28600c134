#include "config.h"

#include "daemon/srs_hop.h"

#include <string.h>

/* From 1 to 65535, in digits. */
static bool is_port(struct span text)
{
	unsigned number = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9' || i == 5) {
			return false;
		}
		number = number * 10 + (unsigned)(text.ptr[i] - '0');
	}
	return number > 0 && number <= 65535;
}

bool srs_hop_parse(const char *text, struct srs_hop *out)
{
	const char *open = strstr(text, ":["), *close = open ? strstr(open, "]:") : NULL;

	if (close == NULL) {
		return false;
	}
	out->transport = (struct span){ text, (size_t)(open - text) };
	out->address = (struct span){ open + 2, (size_t)(close - open - 2) };
	out->port = span_of(close + 2);
	out->is_v6 = span_equal(out->address, SPAN("::1"));
	return is_port(out->port) &&
	       (out->is_v6 || span_starts_with_case(out->address, SPAN("127.")));
}
