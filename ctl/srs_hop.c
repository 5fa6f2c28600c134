#include "config.h"

#include "ctl/srs_hop.h"

#include <string.h>
#include <sysexits.h>

#include "ctl/command.h"

static bool split(const char *hop, struct srs_hop *out)
{
	const char *open = strstr(hop, ":["), *close = open ? strstr(open, "]:") : NULL;

	if (close == NULL) {
		return false;
	}
	out->transport = (struct span){ hop, (size_t)(open - hop) };
	out->address = (struct span){ open + 2, (size_t)(close - open - 2) };
	out->port = span_of(close + 2);
	out->is_v6 = span_equal(out->address, SPAN("::1"));
	return out->is_v6 || span_starts_with_case(out->address, SPAN("127."));
}

int srs_hop_read(const struct conf *conf, struct srs_hop *out)
{
	const char *hop = conf->settings.srs_hop;

	*out = (struct srs_hop){ .is_v6 = false };
	if (!conf->srs.enable) {
		return EX_OK;
	}
	if (hop[0] == '\0') {
		complain(
		    "srs has no hop: in messages with other recipients too, forwarded "
		    "mail keeps its sender");
		return EX_OK;
	}
	if (!split(hop, out)) {
		complain("hop of the section srs is no \"transport:[127.0.0.1]:port\"");
		return EX_CONFIG;
	}
	return EX_OK;
}
