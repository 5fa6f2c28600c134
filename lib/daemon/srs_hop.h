#ifndef CX_SRS_HOP_H
#define CX_SRS_HOP_H

#include <stdbool.h>

#include "value/span.h"

/*
 * The re-injection hop of SRS (coexist-milter(8)) as the configuration has it:
 * "TRANSPORT:[ADDRESS]:PORT", a loopback address, as mail for the hop is taken from there only.
 * Borrowed from the text.
 */
struct srs_hop {
	struct span transport, address, port;
	bool is_v6;
};

/* false: it is written in another way. */
bool srs_hop_parse(const char *text, struct srs_hop *out);

#endif
