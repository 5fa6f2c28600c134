#include "config.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "daemon/conf_read.h"
#include "value/utf8.h"

/* Longer than any path, list of servers or filter that somebody wrote by hand. */
#define VALUE_MAX 4096

static const struct {
	const char *word;
	const char *kept;
} bool_words[] = {
	{ "true", "1" },
	{ "yes", "1" },
	{ "on", "1" },
	{ "false", "0" },
	{ "no", "0" },
	{ "off", "0" },
};

static enum status finished(const struct buf *out)
{
	return out->failed ? CX_ENOMEM : CX_OK;
}

static enum status convert_bool(const char *text, struct buf *out, struct errbuf *err)
{
	for (size_t i = 0; i < sizeof(bool_words) / sizeof(bool_words[0]); i++) {
		if (strcmp(text, bool_words[i].word) == 0) {
			buf_add_text(out, bool_words[i].kept);
			return finished(out);
		}
	}
	errbuf_set(err, "'%s' is neither true nor false", text);
	return CX_ECONF;
}

static enum status convert_number(const struct option *option, const char *text,
    struct buf *out, struct errbuf *err)
{
	size_t digits = strspn(text, "0123456789");
	int64_t number = 0;

	for (size_t i = 0; i < digits && number <= option->max; i++) {
		number = number * 10 + (text[i] - '0');
	}
	if (digits == 0 || text[digits] != '\0' || number < option->min ||
	    number > option->max) {
		errbuf_set(err, "'%s' is not a number from %" PRId64 " to %" PRId64,
		    text, option->min, option->max);
		return CX_ECONF;
	}
	buf_printf(out, "%" PRId64, number);
	return finished(out);
}

/* For a message: the largest unit that says it in whole numbers. */
static void print_time(int64_t ms, struct buf *out)
{
	static const struct {
		int64_t ms;
		const char *name;
	} units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" },
		{ 1000, "s" } };

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (ms % units[i].ms == 0) {
			buf_printf(out, "%" PRId64 "%s", ms / units[i].ms,
			    units[i].name);
			return;
		}
	}
	buf_printf(out, "%" PRId64 "ms", ms);
}

static enum status convert_time(const struct option *option, const char *text,
    struct buf *out, struct errbuf *err)
{
	char min_text[32], max_text[32];
	struct buf min, max;
	int64_t ms;

	if (conf_parse_time(text, &ms) != CX_OK) {
		errbuf_set(err, "'%s' is not a time (say 500ms, 10s, 15m, 1h or 7d)",
		    text);
		return CX_ECONF;
	}
	if (ms < option->min || ms > option->max) {
		buf_init_fixed(&min, min_text, sizeof(min_text));
		buf_init_fixed(&max, max_text, sizeof(max_text));
		print_time(option->min, &min);
		print_time(option->max, &max);
		errbuf_set(err, "'%s' is not between %s and %s", text, min.data,
		    max.data);
		return CX_ECONF;
	}
	if (option->type == OPTION_SECONDS && ms % 1000 != 0) {
		errbuf_set(err, "'%s' is not in whole seconds", text);
		return CX_ECONF;
	}
	buf_printf(out, "%" PRId64, option->type == OPTION_SECONDS ? ms / 1000 : ms);
	return finished(out);
}

/* Its place among the choices, or -1 with a message that names them all. */
static int find_choice(const struct option *option, const char *text,
    struct errbuf *err)
{
	char words_text[256];
	struct buf words;

	buf_init_fixed(&words, words_text, sizeof(words_text));
	for (int i = 0; option->choices[i] != NULL; i++) {
		if (strcmp(text, option->choices[i]) == 0) {
			return i;
		}
		buf_printf(&words, "%s%s", i > 0 ? ", " : "", option->choices[i]);
	}
	errbuf_set(err, "'%s' is none of: %s", text, words.data);
	return -1;
}

static enum status convert_text(const struct option *option, const char *text,
    const char *folder, struct buf *out, struct errbuf *err)
{
	if (option->check != NULL) {
		return option->check(text, folder, out, err);
	}
	if (option->choices != NULL && find_choice(option, text, err) < 0) {
		return CX_ECONF;
	}
	buf_add_text(out, text);
	return finished(out);
}

static enum status check_bytes(const char *text, struct errbuf *err)
{
	size_t len = strlen(text);

	if (len > VALUE_MAX) {
		errbuf_set(err, "this value is longer than %d bytes", VALUE_MAX);
		return CX_ECONF;
	}
	if (!utf8_is_valid(span_of(text))) {
		errbuf_set(err, "this value is not in UTF-8");
		return CX_ECONF;
	}
	return CX_OK;
}

enum status option_convert(const struct option *option, const char *text,
    const char *folder, struct buf *out, struct errbuf *err)
{
	enum status status = check_bytes(text, err);
	int place;

	if (status != CX_OK) {
		return status;
	}
	if (text[0] == '\0') {
		if (option->fallback[0] != '\0' && !option->may_be_empty) {
			errbuf_set(err, "this may not be empty");
			return CX_ECONF;
		}
		return CX_OK;
	}
	switch (option->type) {
	case OPTION_TEXT:
	case OPTION_LIST: return convert_text(option, text, folder, out, err);
	case OPTION_BOOL: return convert_bool(text, out, err);
	case OPTION_NUMBER: return convert_number(option, text, out, err);
	case OPTION_MS:
	case OPTION_SECONDS: return convert_time(option, text, out, err);
	case OPTION_CHOICE:
		place = find_choice(option, text, err);
		if (place < 0) {
			return CX_ECONF;
		}
		buf_printf(out, "%d", place);
		return finished(out);
	}
	return CX_EINVAL;
}
