#include "config.h"

#include "ctl/srs_hop.h"

#include "ctl/command.h"

void srs_hop_read(const struct conf *conf, struct srs_hop *out)
{
	const char *hop = conf->settings.srs_hop;

	*out = (struct srs_hop){ .is_v6 = false };
	if (!conf->srs.enable) {
		return;
	}
	if (hop[0] == '\0') {
		complain(
		    "srs has no hop: in messages with other recipients too, forwarded "
		    "mail keeps its sender");
	} else if (!srs_hop_parse(hop, out)) {
		*out = (struct srs_hop){ .is_v6 = false }; /* conf_read() takes no such one */
	}
}
