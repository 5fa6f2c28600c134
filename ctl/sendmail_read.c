#include "config.h"

#include "ctl/sendmail_read.h"

#include <string.h>

#include "ctl/command.h"

static const struct danger {
	const char *word;
	const char *why;
} features[] = {
	{ "promiscuous_relay",
	    "lets everybody relay; only the milter stands behind it" },
	{ "relay_entire_domain", "lets every host of the domain relay" },
	{ "relay_local_from", "lets everybody relay who writes as a local sender" },
	{ "relay_mail_from",
	    "lets everybody relay who writes as a sender of the access table" },
	{ "relay_based_on_MX",
	    "relays for every domain whose owner names this host as its MX" },
	{ "loose_relay_check", "lets the percent hack relay" },
	{ "drac", "lets clients relay that the directory does not know" },
	{ "nullclient", "passes all mail on: the rules of Coexist are not used" },
};

static const char *const maps[] = { "domains", "relay", "transport" };
#define ALL_MAPS 7u

void reader_find(struct reader *reader, struct span what, const char *why)
{
	complain("%s:%u: %.*s %s", reader->name, reader->line, SPAN_ARGS(what), why);
	reader->found++;
}

static void lack(struct reader *reader, const char *what)
{
	complain("%s: %s", reader->name, what);
	reader->found++;
}

bool span_contains(struct span text, const char *word)
{
	return text.len > 0 && memmem(text.ptr, text.len, word, strlen(word)) != NULL;
}

struct span span_next(struct span *rest, const char *separators)
{
	struct span part = { rest->ptr, 0 };

	while (part.len < rest->len &&
	       (rest->ptr[part.len] == '\0' ||
		   strchr(separators, rest->ptr[part.len]) == NULL)) {
		part.len++;
	}
	rest->ptr += part.len;
	rest->len -= part.len;
	if (rest->len > 0) {
		rest->ptr++;
		rest->len--;
	}
	return span_trim(part);
}

struct span reader_line(struct reader *reader, struct span *rest)
{
	struct span line = { rest->ptr, 0 };
	unsigned count = 0;

	for (; line.len < rest->len; line.len++) {
		if (rest->ptr[line.len] == '\n') {
			count++;
			if (line.len + 1 == rest->len ||
			    (rest->ptr[line.len + 1] != ' ' &&
				rest->ptr[line.len + 1] != '\t')) {
				break;
			}
		}
	}
	rest->ptr += line.len;
	rest->len -= line.len;
	if (rest->len > 0) {
		rest->ptr++;
		rest->len--;
	}
	/* Further lines of it are counted with the next. */
	reader->line += reader->behind + 1;
	reader->behind = count > 0 ? count - 1 : 0;
	return line;
}

void reader_feature(struct reader *reader, struct span name)
{
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		if (span_equal(name, span_of(features[i].word))) {
			reader_find(reader, name, features[i].why);
		}
	}
}

/* "unix:/path" and "local:/path", or the same port. */
static bool is_same_socket(struct span a, struct span b)
{
	struct span kind_a = span_next(&a, ":"), kind_b = span_next(&b, ":");

	if (span_starts_with_case(kind_a, SPAN("inet"))) {
		return span_starts_with_case(kind_b, SPAN("inet")) &&
		       span_equal(span_next(&a, "@"), span_next(&b, "@"));
	}
	return !span_starts_with_case(kind_b, SPAN("inet")) && span_equal(a, b);
}

static bool is_socket_of(const char *listen, struct span socket)
{
	struct buf own;
	bool is_same;

	buf_init(&own);
	sendmail_print_socket(&own, listen);
	is_same = is_same_socket(socket, buf_span(&own));
	buf_release(&own);
	return is_same;
}

void reader_filter(struct reader *reader, struct span name, struct span equates)
{
	struct span socket = SPAN(""), flags = SPAN("");

	if (!span_equal(name, SPAN("coexist"))) {
		return;
	}
	reader->has_filter = true;
	while (equates.len > 0) {
		struct span value = span_next(&equates, ",");
		struct span key = span_next(&value, "=");

		value = span_trim(value);
		if (key.len > 0 && key.ptr[0] == 'S') {
			socket = value;
		} else if (key.len > 0 && key.ptr[0] == 'F') {
			flags = value;
		}
	}
	if (span_contains(flags, "R")) {
		reader_find(reader, name,
		    "has F=R: all mail is refused for good when coexist-milter is stopped");
	} else if (!span_contains(flags, "T") && !span_contains(flags, "4")) {
		reader_find(reader, name,
		    "is without F=T: mail goes through unfiltered, or half edited, when "
		    "coexist-milter is stopped");
	}
	if (!is_socket_of(reader->conf->milter.listen, socket)) {
		reader_find(reader, name,
		    "has another socket than the milter listens on");
	}
}

void reader_filter_list(struct reader *reader, struct span names)
{
	struct span last = SPAN("");

	while (names.len > 0) {
		struct span name = span_next(&names, ",; \t\n");

		last = name.len > 0 ? name : last;
	}
	reader->is_filter_last = span_equal(last, SPAN("coexist"));
}

void reader_daemon(struct reader *reader, struct span options)
{
	struct span daemon = SPAN("");

	while (options.len > 0) {
		struct span value = span_next(&options, ",");
		struct span key = span_next(&value, "=");
		bool was_last = reader->is_filter_last;

		if (key.len > 0 && (key.ptr[0] == 'N' || key.ptr[0] == 'n')) {
			daemon = span_trim(value);
		}
		if (key.len == 0 || (key.ptr[0] != 'I' && key.ptr[0] != 'i')) {
			continue;
		}
		reader_filter_list(reader, value);
		if (!reader->is_filter_last) {
			reader_find(reader, SPAN("DaemonPortOptions"),
			    "has filters of its own, of which coexist is not the last");
		}
		reader->is_filter_last = was_last;
	}
	if (span_equal(daemon, SPAN("coexistsrs"))) {
		reader->has_hop = true;
	} else if (!span_equal(daemon, SPAN("MSA"))) { /* cf.m4 adds that by itself */
		reader->has_port = true;
	}
}

void reader_privacy(struct reader *reader, struct span flags)
{
	reader->is_quiet =
	    span_contains(flags, "goaway") ||
	    (span_contains(flags, "novrfy") && span_contains(flags, "noexpn"));
}

void reader_dont_blame(struct reader *reader, struct span flags)
{
	if (span_contains(flags, "Writable") || span_contains(flags, "writable")) {
		reader_find(reader, SPAN("DontBlameSendmail"),
		    "trusts files that others can write to");
	}
}

void reader_map(struct reader *reader, struct span line)
{
	struct span name = span_next(&line, " \t");
	struct span last = SPAN("");
	bool is_ours = false;

	while (line.len > 0) {
		struct span word = span_next(&line, " \t\n");

		last = word.len > 0 ? word : last;
	}
	for (unsigned i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		if (!span_equal(name, span_of(maps[i]))) {
			continue;
		}
		reader->maps |= 1u << i;
		for (size_t j = 0; reader->conf->policyd.map_listen[j]; j++) {
			is_ours =
			    is_ours ||
			    is_socket_of(reader->conf->policyd.map_listen[j], last);
		}
		if (!is_ours) {
			reader_find(reader, name,
			    "asks another socket than one of map_listen");
		}
	}
}

void reader_judge_whole(struct reader *reader)
{
	if (!reader->has_filter) {
		lack(reader, "no INPUT_MAIL_FILTER(`coexist', ...)");
	} else if (!reader->is_filter_last) {
		lack(reader,
		    "coexist is not the last INPUT_MAIL_FILTER: what a later one "
		    "changes is not judged");
	}
	if (reader->has_hop && !reader->has_port) {
		lack(reader,
		    "the hop of SRS has the only DAEMON_OPTIONS: nobody listens on port 25");
	}
	if (!reader->has_uucp) {
		lack(reader, "no FEATURE(`nouucp', `reject'): host!user is a route");
	}
	if (!reader->is_quiet) {
		lack(reader,
		    "novrfy and noexpn are not among confPRIVACY_FLAGS: everybody may ask "
		    "who has an address");
	}
	if (!reader->has_rules || reader->maps != ALL_MAPS) {
		lack(reader, "no rules and maps of Coexist: see coexistctl sendmail");
	}
}
