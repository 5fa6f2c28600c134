#ifndef CX_ERRBUF_H
#define CX_ERRBUF_H

#include "value/attrs.h"

/*
 * Room for one error text, for functions whose error a person reads
 * (configuration, LDIF, command line). The caller owns it; the callee fills
 * it only when it returns something else than CX_OK. One line, no newline
 * at the end, control characters replaced by '?'.
 */
struct errbuf {
	char text[1024];
};

void errbuf_set(struct errbuf *, const char *fmt, ...) CX_PRINTF(2, 3);
/* Puts "prefix: " in front of what is there. */
void errbuf_prefix(struct errbuf *, const char *fmt, ...) CX_PRINTF(2, 3);

#endif
