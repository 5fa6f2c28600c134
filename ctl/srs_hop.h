#ifndef CX_CTL_SRS_HOP_H
#define CX_CTL_SRS_HOP_H

#include "daemon/conf.h"
#include "daemon/srs_hop.h"

/*
 * The re-injection hop, for the commands that print an MTA's side of it; `transport` is empty
 * where there is none. If SRS is on, that is complained of. Borrowed.
 */
void srs_hop_read(const struct conf *, struct srs_hop *out);

#endif
