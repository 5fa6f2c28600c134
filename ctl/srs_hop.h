#ifndef CX_CTL_SRS_HOP_H
#define CX_CTL_SRS_HOP_H

#include "daemon/conf.h"

/*
 * The re-injection hop of SRS as the configuration has it, for the commands that print an MTA's
 * side of it: "TRANSPORT:[ADDRESS]:PORT", a loopback address, as the milter takes such mail from
 * there only. Borrowed.
 */
struct srs_hop {
	struct span transport, address, port;
	bool is_v6;
};

/*
 * EX_OK, or EX_CONFIG: it is written in another way, which was complained of. Where there is
 * none, `transport` is empty; if SRS is on, that was complained of too.
 */
int srs_hop_read(const struct conf *, struct srs_hop *out);

#endif
