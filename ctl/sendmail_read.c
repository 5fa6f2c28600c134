#include "config.h"

#include "ctl/sendmail.h"

#include <string.h>

#include "ctl/command.h"

/*
 * Reads sendmail.mc as far as one can without m4: a line at a time, without what m4 leaves out.
 * What a map or a class holds is not seen.
 */

static const struct danger {
	const char *macro;
	const char *word; /* "": whatever stands there */
	const char *why;
} dangers[] = {
	{ "FEATURE", "promiscuous_relay",
	    "lets everybody relay; only the milter stands behind it" },
	{ "FEATURE", "relay_entire_domain", "lets every host of the domain relay" },
	{ "FEATURE", "relay_local_from",
	    "lets everybody relay who writes as a local sender" },
	{ "FEATURE", "relay_mail_from",
	    "lets everybody relay who writes as a sender of the access table" },
	{ "FEATURE", "relay_based_on_MX",
	    "relays for every domain whose owner names this host as its MX" },
	{ "FEATURE", "loose_relay_check", "lets the percent hack relay" },
	{ "FEATURE", "delay_checks",
	    "lets senders and clients be exempt by recipient" },
	{ "FEATURE", "nullclient",
	    "passes all mail on: the rules of Coexist are not used" },
	{ "RELAY_DOMAIN", "",
	    "lets these hosts relay, and relays to these domains; the directory should say so" },
	{ "RELAY_DOMAIN_FILE", "",
	    "lets the hosts in it relay, and relays to its domains; the directory should say so" },
	{ "TRUST_AUTH_MECH", "",
	    "lets every login relay, also one that the directory forbids" },
	{ "define", "confINPUT_MAIL_FILTERS",
	    "replaces the list of filters: coexist must be the last of it" },
};

struct reader {
	const char *name;
	unsigned line;
	unsigned found;
	bool has_filter, is_filter_last, has_uucp, has_rules, has_maps;
};

static void find(struct reader *reader, const char *what, const char *why)
{
	complain("%s:%u: %s %s", reader->name, reader->line, what, why);
	reader->found++;
}

static void lack(struct reader *reader, const char *what)
{
	complain("%s: %s", reader->name, what);
	reader->found++;
}

static struct span skip_blanks(struct span text)
{
	while (text.len > 0 && strchr(" \t`'(,", text.ptr[0]) != NULL) {
		text.ptr++;
		text.len--;
	}
	return text;
}

/* The letters, digits and "_" that it begins with. */
static struct span first_word(struct span text)
{
	size_t len = 0;

	while (len < text.len && text.ptr[len] != '\0' &&
	       strchr(" \t`'(),", text.ptr[len]) == NULL) {
		len++;
	}
	return (struct span){ text.ptr, len };
}

static bool contains(struct span text, const char *word)
{
	return text.len > 0 && memmem(text.ptr, text.len, word, strlen(word)) != NULL;
}

static void judge_macro(struct reader *reader, struct span macro, struct span rest)
{
	struct span word = first_word(skip_blanks(rest));

	for (size_t i = 0; i < sizeof(dangers) / sizeof(dangers[0]); i++) {
		const struct danger *danger = &dangers[i];

		if (span_equal(macro, span_of(danger->macro)) &&
		    (danger->word[0] == '\0' ||
			span_equal(word, span_of(danger->word)))) {
			find(reader, danger->word[0] ? danger->word : danger->macro,
			    danger->why);
		}
	}
	if (span_equal(macro, SPAN("FEATURE")) && span_equal(word, SPAN("nouucp"))) {
		reader->has_uucp = true;
	}
	if (span_equal(macro, SPAN("DAEMON_OPTIONS")) &&
	    contains(rest, "InputFilter") && !contains(rest, "coexist")) {
		find(reader, "DAEMON_OPTIONS",
		    "has filters of its own without coexist");
	}
}

/* Its arguments may go on over further lines: `rest` is all the text behind it. */
static void judge_filter(struct reader *reader, struct span rest)
{
	const char *end = memchr(rest.ptr, ')', rest.len);
	struct span word = first_word(skip_blanks(rest));

	if (end) {
		rest.len = (size_t)(end - rest.ptr);
	}
	reader->is_filter_last = span_equal(word, SPAN("coexist"));
	if (reader->is_filter_last) {
		reader->has_filter = true;
		if (!contains(rest, "F=T")) {
			find(reader, "INPUT_MAIL_FILTER",
			    "without F=T: mail goes through unfiltered, or half edited, when "
			    "coexist-milter is stopped");
		}
	}
}

static struct span trim_comment(struct span line)
{
	const char *at;

	line = span_trim(line);
	if (line.len >= 3 && memcmp(line.ptr, "dnl", 3) == 0) {
		return (struct span){ line.ptr, 0 };
	}
	at = line.len > 0 ? memchr(line.ptr, '#', line.len) : NULL;
	if (at) {
		line.len = (size_t)(at - line.ptr);
	}
	return line;
}

/* `behind`: the text from the line's start to the end of the file. */
static void judge_line(struct reader *reader, struct span line, struct span behind)
{
	struct span macro;
	struct span rest;

	line = trim_comment(line);
	if (line.len == 0) {
		return;
	}
	macro = first_word(line);
	rest = (struct span){ line.ptr + macro.len, line.len - macro.len };
	if (span_equal(macro, SPAN("INPUT_MAIL_FILTER"))) {
		size_t skipped = (size_t)(rest.ptr - behind.ptr);

		judge_filter(reader, (struct span){ rest.ptr, behind.len - skipped });
	} else {
		judge_macro(reader, macro, rest);
	}
	reader->has_rules =
	    reader->has_rules || span_equal(macro, SPAN("SLocal_check_rcpt"));
	reader->has_maps = reader->has_maps || span_equal(macro, SPAN("Ktransport"));
}

static void judge_whole(struct reader *reader)
{
	if (!reader->has_filter) {
		lack(reader, "no INPUT_MAIL_FILTER(`coexist', ...)");
	} else if (!reader->is_filter_last) {
		lack(reader,
		    "coexist is not the last INPUT_MAIL_FILTER: what a later one "
		    "changes is not judged");
	}
	if (!reader->has_uucp) {
		lack(reader, "no FEATURE(`nouucp', `reject'): host!user is a route");
	}
	if (!reader->has_rules || !reader->has_maps) {
		lack(reader,
		    "no rules of Coexist, unless a file that it includes has them");
	}
}

unsigned sendmail_read(const char *name, struct span text)
{
	struct reader reader = { .name = name };
	bool is_diverted = false;

	while (text.len > 0) {
		const char *end = memchr(text.ptr, '\n', text.len);
		size_t len = end ? (size_t)(end - text.ptr) : text.len;
		struct span line = { text.ptr, len };
		struct span start = span_trim(line);

		reader.line++;
		if (span_starts_with_case(start, SPAN("divert("))) {
			is_diverted = span_starts_with_case(start, SPAN("divert(-1)"));
		} else if (!is_diverted) {
			judge_line(&reader, line, text);
		}
		len += end ? 1 : 0;
		text.ptr += len;
		text.len -= len;
	}
	judge_whole(&reader);
	return reader.found;
}
