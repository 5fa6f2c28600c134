#include "config.h"

#include "ctl/sendmail_read.h"

#include <string.h>

/*
 * What m4 has made: what it says is what Sendmail does. Comments tell which features there were. One
 * shows in the rules: promiscuous_relay leaves out those of Relay_ok.
 */

/* "V10/Berkeley", before anything else that is no comment. */
bool cf_is_one(struct span text)
{
	struct reader lines = { .line = 0 };

	while (text.len > 0) {
		struct span line = reader_line(&lines, &text);

		if (line.len > 1 && line.ptr[0] == 'V' && line.ptr[1] >= '0' &&
		    line.ptr[1] <= '9') {
			return true;
		}
	}
	return false;
}

static void on_option(struct reader *reader, struct span value)
{
	struct span name = span_next(&value, "=");

	if (span_equal_case(name, SPAN("InputMailFilters"))) {
		reader_filter_list(reader, value);
	} else if (span_equal_case(name, SPAN("DaemonPortOptions"))) {
		reader_daemon(reader, value);
	} else if (span_equal_case(name, SPAN("PrivacyOptions"))) {
		reader_privacy(reader, value);
	} else if (span_equal_case(name, SPAN("DontBlameSendmail"))) {
		reader_dont_blame(reader, value);
	}
}

/* "FR-o /etc/mail/relay-domains", "F{R}/path", without the name. */
static void on_class_file(struct reader *reader, struct span path)
{
	struct span option = path;

	if (span_equal(span_next(&option, " \t"), SPAN("-o"))) {
		path = option;
	}
	reader_relay_domains(reader, span_trim(path));
}

static void on_class(struct reader *reader, struct span line)
{
	bool is_file = line.ptr[0] == 'F';
	struct span name = { line.ptr + 1, 1 };
	size_t skipped = 2;

	if (line.len > 1 && line.ptr[1] == '{') {
		struct span rest = { line.ptr + 2, line.len - 2 };

		name = span_next(&rest, "}");
		skipped = line.len - rest.len;
	}
	if (line.len <= skipped) {
		return;
	}
	if (is_file && span_equal(name, SPAN("R"))) {
		on_class_file(reader,
		    (struct span){ line.ptr + skipped, line.len - skipped });
	} else if (!is_file && span_equal(name, SPAN("R"))) {
		reader_find(reader, SPAN("class R"),
		    "lets these hosts relay, and relays to these domains; the directory "
		    "should say so");
	} else if (!is_file && span_equal(name, SPAN("TrustAuthMech"))) {
		reader_find(reader, name,
		    "lets every login relay, also one that the directory forbids");
	}
}

/* "#####  $Id: relay_entire_domain.m4,v 8.11 ..." */
static void on_comment(struct reader *reader, struct span line)
{
	struct span name = span_next(&line, ":");

	if (span_equal(name, SPAN("#####  $Id")) ||
	    span_equal(name, SPAN("##### $Id"))) {
		name = span_next(&line, ".");
		if (!span_equal(name, SPAN("promiscuous_relay"))) {
			reader_feature(reader, name);
		}
	}
}

static void on_map(struct reader *reader, struct span line)
{
	struct span rest = line;

	reader_map(reader, line);
	if (span_equal(span_next(&rest, " \t"), SPAN("access"))) {
		struct span last = SPAN("");

		while (rest.len > 0) {
			struct span word = span_next(&rest, " \t\n");

			last = word.len > 0 ? word : last;
		}
		reader_access(reader, last);
	}
}

/* Where rulesets begin; 0: they do not. */
struct rulesets {
	unsigned rcpt_ok, relay_ok;
};

static void on_ruleset(struct reader *reader, struct span name,
    struct rulesets *rulesets)
{
	name = span_trim(name);
	if (span_equal(name, SPAN("Rcpt_ok")) && rulesets->rcpt_ok == 0) {
		rulesets->rcpt_ok = reader->line;
	} else if (span_equal(name, SPAN("Relay_ok"))) {
		rulesets->relay_ok = reader->line;
	}
}

static void on_line(struct reader *reader, struct span line, struct rulesets *rulesets)
{
	struct span rest = { line.ptr + 1, line.len - 1 };

	switch (line.ptr[0]) {
	case '#': on_comment(reader, line); break;
	case 'O': on_option(reader, rest); break;
	case 'X': {
		struct span name = span_next(&rest, ",");

		reader_filter(reader, name, rest);
		break;
	}
	case 'K': on_map(reader, rest); break;
	case 'C':
	case 'F': on_class(reader, line); break;
	case 'S': on_ruleset(reader, rest, rulesets); break;
	case 'R':
		reader->has_uucp = reader->has_uucp || span_contains(line, "BANG_PATH");
		reader->has_rules =
		    reader->has_rules || span_contains(line, "$(domains $2");
		break;
	default: break;
	}
}

void cf_read(struct reader *reader, struct span text)
{
	struct rulesets rulesets = { 0, 0 };

	while (text.len > 0) {
		struct span line = reader_line(reader, &text);

		if (line.len > 0) {
			on_line(reader, line, &rulesets);
		}
	}
	if (rulesets.rcpt_ok > 0 && rulesets.relay_ok == 0) {
		reader->line = rulesets.rcpt_ok;
		reader_feature(reader, SPAN("promiscuous_relay"));
		reader->has_uucp = true; /* its rule is among those left out */
	}
}
