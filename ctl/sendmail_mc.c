#include "config.h"

#include "ctl/sendmail_read.h"

#include <string.h>

/*
 * What is written for m4, read as far as one can without m4: calls of macros wherever they
 * stand, also below ifdef() and in what is diverted, but not behind dnl. "#" is no comment:
 * cf.m4 turns comments off, and m4 calls what stands behind it.
 */

#define ARGS_MAX 4
/* Arguments go on for a few lines. */
#define ARGS_SIZE_MAX ((size_t)2048)

struct call {
	struct span name;
	struct span args[ARGS_MAX]; /* without the quotes around them; empty: none */
};

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_';
}

static struct span skip_line(struct span text)
{
	const char *end = text.len > 0 ? memchr(text.ptr, '\n', text.len) : NULL;
	size_t len = end ? (size_t)(end - text.ptr) + 1 : text.len;

	return (struct span){ text.ptr + len, text.len - len };
}

/* An argument without "dnl" lines before it, blanks, and its quotes. */
static struct span unquote(struct span arg)
{
	arg = span_trim(arg);
	while (arg.len >= 3 && memcmp(arg.ptr, "dnl", 3) == 0) {
		arg = span_trim(skip_line(arg));
	}
	if (arg.len >= 2 && arg.ptr[0] == '`' && arg.ptr[arg.len - 1] == '\'') {
		arg = (struct span){ arg.ptr + 1, arg.len - 2 };
	}
	return arg;
}

/* `text` begins behind the "(". */
static void read_args(struct call *call, struct span text)
{
	size_t count = 0, start = 0, parens = 0, quotes = 0, i;

	if (text.len > ARGS_SIZE_MAX) {
		text.len = ARGS_SIZE_MAX;
	}
	for (i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '`') {
			quotes++;
		} else if (c == '\'' && quotes > 0) {
			quotes--;
		} else if (quotes > 0) {
			continue;
		} else if (c == '(') {
			parens++;
		} else if (c == ')' && parens-- == 0) {
			break;
		} else if (c == ',' && parens == 0 && count + 1 < ARGS_MAX) {
			call->args[count++] =
			    unquote((struct span){ text.ptr + start, i - start });
			start = i + 1;
		}
	}
	call->args[count] = unquote((struct span){ text.ptr + start, i - start });
}

static void on_feature(struct reader *reader, const struct call *call)
{
	reader_feature(reader, call->args[0]);
	if (span_equal(call->args[0], SPAN("nouucp")) && call->args[1].len > 0 &&
	    call->args[1].ptr[0] == 'r') {
		reader->has_uucp = true;
	}
}

static void on_define(struct reader *reader, const struct call *call)
{
	struct span name = call->args[0], value = call->args[1];

	if (span_equal(name, SPAN("_PROMISCUOUS_RELAY_"))) {
		reader_feature(reader, SPAN("promiscuous_relay"));
	} else if (span_equal(name, SPAN("confINPUT_MAIL_FILTERS"))) {
		reader_filter_list(reader, value);
	} else if (span_equal(name, SPAN("confPRIVACY_FLAGS"))) {
		reader_privacy(reader, value);
	} else if (span_equal(name, SPAN("confDONT_BLAME_SENDMAIL"))) {
		reader_dont_blame(reader, value);
	}
}

static void on_input_filter(struct reader *reader, const struct call *call)
{
	reader_filter(reader, call->args[0], call->args[1]);
	reader_filter_list(reader, call->args[0]);
}

static void on_filter(struct reader *reader, const struct call *call)
{
	reader_filter(reader, call->args[0], call->args[1]);
}

static void on_daemon(struct reader *reader, const struct call *call)
{
	reader_daemon(reader, call->args[0]);
}

static void on_include(struct reader *reader, const struct call *call)
{
	reader_include(reader, call->args[0], true);
}

static void on_sinclude(struct reader *reader, const struct call *call)
{
	reader_include(reader, call->args[0], false);
}

static void on_relay(struct reader *reader, const struct call *call)
{
	reader_find(reader, call->name,
	    "lets these hosts relay, and relays to these domains; the directory should "
	    "say so");
}

static void on_trust(struct reader *reader, const struct call *call)
{
	reader_find(reader, call->name,
	    "lets every login relay, also one that the directory forbids");
}

static const struct {
	const char *name;
	void (*on)(struct reader *, const struct call *);
} macros[] = {
	{ "FEATURE", on_feature },
	{ "define", on_define },
	{ "INPUT_MAIL_FILTER", on_input_filter },
	{ "MAIL_FILTER", on_filter },
	{ "DAEMON_OPTIONS", on_daemon },
	{ "include", on_include },
	{ "sinclude", on_sinclude },
	{ "RELAY_DOMAIN", on_relay },
	{ "RELAY_DOMAIN_FILE", on_relay },
	{ "TRUST_AUTH_MECH", on_trust },
};

static void on_call(struct reader *reader, struct span name, struct span behind)
{
	struct call call = { .name = name };

	for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]); i++) {
		if (span_equal(name, span_of(macros[i].name))) {
			reader->has_calls = true;
			read_args(&call, behind);
			macros[i].on(reader, &call);
		}
	}
}

/* What is not for m4 but goes into sendmail.cf as it is. */
static void on_line(struct reader *reader, struct span word, struct span line)
{
	line.len -= skip_line(line).len;
	if (span_equal(word, SPAN("SRcpt_ok"))) {
		reader->has_rules = true;
	} else if (word.ptr[0] == 'K') {
		reader_map(reader, (struct span){ line.ptr + 1, line.len - 1 });
	}
}

void mc_read(struct reader *reader, struct span text)
{
	const char *start = text.ptr;

	reader->line = 1;
	while (text.len > 0) {
		struct span word = { text.ptr, 0 };
		struct span rest;
		bool is_at_start = text.ptr == start || text.ptr[-1] == '\n';

		while (word.len < text.len && is_word(word.ptr[word.len])) {
			word.len++;
		}
		rest = (struct span){ text.ptr + word.len, text.len - word.len };
		if (span_equal(word, SPAN("dnl"))) {
			text = skip_line(rest);
			reader->line++;
			continue;
		}
		if (word.len > 0 && rest.len > 0 && rest.ptr[0] == '(') {
			on_call(reader, word,
			    (struct span){ rest.ptr + 1, rest.len - 1 });
		} else if (word.len > 0 && is_at_start) {
			on_line(reader, word, text);
		}
		text = rest;
		if (text.len > 0) {
			reader->line += text.ptr[0] == '\n';
			text.ptr++;
			text.len--;
		}
	}
}
