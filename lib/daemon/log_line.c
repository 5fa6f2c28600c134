#include "config.h"

#include "daemon/log_line.h"

#include <string.h>

#include "value/utf8.h"

static const char *const names[LOG_FIELD_COUNT] = {
	[LOG_FIELD_QUEUE_ID] = "COEXIST_QUEUE_ID",
	[LOG_FIELD_TO] = "COEXIST_TO",
	[LOG_FIELD_ORIG_TO] = "COEXIST_ORIG_TO",
	[LOG_FIELD_FROM] = "COEXIST_FROM",
	[LOG_FIELD_VERDICT] = "COEXIST_VERDICT",
	[LOG_FIELD_RULE] = "COEXIST_RULE",
	[LOG_FIELD_ACTION] = "COEXIST_ACTION",
	[LOG_FIELD_CLIENT] = "COEXIST_CLIENT",
	[LOG_FIELD_LOGIN] = "COEXIST_LOGIN",
	[LOG_FIELD_OBJECT] = "COEXIST_OBJECT",
};

const char *log_field_name(enum log_field field)
{
	return names[field];
}

void log_line_init(struct log_line *line)
{
	memset(line, 0, sizeof(*line));
	buf_init(&line->text);
}

void log_line_init_fixed(struct log_line *line, char *memory, size_t size)
{
	memset(line, 0, sizeof(*line));
	buf_init_fixed(&line->text, memory, size);
}

void log_line_release(struct log_line *line)
{
	buf_release(&line->text);
}

void log_line_add(struct log_line *line, const char *text)
{
	buf_add_text(&line->text, text);
}

void log_line_add_value(struct log_line *line, const char *before, enum log_field field,
    struct span value, const char *after)
{
	bool is_cut = value.len > LOG_VALUE_MAX;
	size_t start;

	if (is_cut) {
		value.len = utf8_cut(value.ptr, LOG_VALUE_MAX);
	}
	buf_add_text(&line->text, before);
	start = line->text.len;
	buf_add_escaped(&line->text, value);
	buf_add_text(&line->text, is_cut ? "..." : "");
	if (field != LOG_FIELD_NONE && !line->text.failed &&
	    (value.len > 0 || field == LOG_FIELD_FROM)) {
		line->parts[field].start = start;
		line->parts[field].len = line->text.len - start;
		line->has_part[field] = true;
	}
	buf_add_text(&line->text, after);
}

bool log_line_part(const struct log_line *line, enum log_field field, struct span *out)
{
	if (!line->has_part[field]) {
		return false;
	}
	*out = (struct span){ line->text.data + line->parts[field].start,
		line->parts[field].len };
	return true;
}

/* By the enhanced status code (RFC 3463). */
enum log_level log_level_of_reply(const struct reply *reply)
{
	static const struct {
		const char *subject; /* "X.3.5" without the class */
		enum log_level level;
	} rows[] = {
		{ ".3.5", LOG_LEVEL_ERROR }, /* system incorrectly configured: broken */
		{ ".3.0", LOG_LEVEL_WARNING }, /* other system status: unavailable */
		{ ".4.6", LOG_LEVEL_WARNING }, /* routing loop: loop, horizon */
		{ ".5.3", LOG_LEVEL_WARNING }, /* too many recipients: of a group */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(reply->enhanced + 1, rows[i].subject) == 0) {
			return rows[i].level;
		}
	}
	return LOG_LEVEL_INFO;
}
