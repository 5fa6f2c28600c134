#ifndef CX_CTL_WATCH_H
#define CX_CTL_WATCH_H

#include <jansson.h>

#include "daemon/conf.h"

/*
 * What the daemons show where `metrics_listen` says (coexist-metrics(7)), for `status`: a new list
 * with an object for each daemon: "program", "running" (null: nowhere to ask, or no answer),
 * "trouble" where something is wrong, "series": number by name, without the buckets of histograms.
 * Waits two seconds for each at most.
 */
json_t *watch_daemons(const struct conf *);

#endif
