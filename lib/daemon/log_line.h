#ifndef CX_LOG_LINE_H
#define CX_LOG_LINE_H

#include "daemon/log.h"
#include "decide/reply.h"
#include "value/buf.h"
#include "value/span.h"

/*
 * A line of log about one decision (SPEC section 13), written once: the text, and which parts
 * of it are values that somebody may search by. Syslog and standard error get the text;
 * systemd's journal gets the parts as fields too (COEXIST_TO=...), as they stand in the
 * text: escaped and cut. Ask log_is_enabled() before writing one. One thread.
 */
enum log_field {
	LOG_FIELD_QUEUE_ID,
	LOG_FIELD_TO,
	LOG_FIELD_ORIG_TO,
	LOG_FIELD_FROM,
	LOG_FIELD_VERDICT,
	LOG_FIELD_RULE,
	LOG_FIELD_ACTION,
	LOG_FIELD_CLIENT, /* address */
	LOG_FIELD_LOGIN,
	LOG_FIELD_OBJECT, /* DN */
	LOG_FIELD_COUNT,
	LOG_FIELD_NONE = LOG_FIELD_COUNT /* nobody searches by it */
};
const char *log_field_name(enum log_field); /* "COEXIST_QUEUE_ID", ... */

/* Bytes of a value that are shown; what is longer tells nobody anything. */
#define LOG_VALUE_MAX 400

struct log_line {
	struct buf text;
	struct {
		size_t start;
		size_t len;
	} parts[LOG_FIELD_COUNT];
	bool has_part[LOG_FIELD_COUNT];
};

void log_line_init(struct log_line *);
/* Over the caller's memory; what does not fit is not there. */
void log_line_init_fixed(struct log_line *, char *memory, size_t size);
void log_line_release(struct log_line *);

void log_line_add(struct log_line *, const char *text);
/*
 * A value from wherever, between two constants. An empty one is no field, but for the
 * sender, which may be empty.
 */
void log_line_add_value(struct log_line *, const char *before, enum log_field,
    struct span value, const char *after);
/* The part of the text that a field is; false: it is not there. */
bool log_line_part(const struct log_line *, enum log_field, struct span *out);

/* Logs it with no word for the level in front: the text starts as Postfix's lines do. */
void log_line_send(enum log_level, const struct log_line *);

/*
 * How bad it is that somebody was told this: what the client did is for information; what an
 * administrator has to mend is an error (X.3.5), or a warning where it may pass or be meant.
 */
enum log_level log_level_of_reply(const struct reply *);

#endif
