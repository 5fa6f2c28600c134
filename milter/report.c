#include "config.h"

#include "milter/report.h"

#include "daemon/log.h"

static void add_value(struct buf *line, const char *before, struct span value,
    const char *after)
{
	bool is_cut = value.len > REPORT_VALUE_MAX;

	if (is_cut) {
		value.len = REPORT_VALUE_MAX;
	}
	buf_add_text(line, before);
	buf_add_escaped(line, value);
	buf_add_text(line, is_cut ? "..." : "");
	buf_add_text(line, after);
}

static void write_line(struct buf *line)
{
	if (!line->failed) {
		log_info("%s", line->data);
	}
	buf_release(line);
}

void report_refusal(const struct report_refusal *refusal)
{
	struct buf line;

	buf_init(&line);
	buf_add_text(&line, refusal->is_observed ? "NOQUEUE: observe: client="
						 : "NOQUEUE: reject: client=");
	/* An MTA that knows no name gives the address in brackets; smtpd logs "unknown". */
	add_value(&line, "",
	    span_starts_with_case(refusal->host, SPAN("[")) ? SPAN("unknown") : refusal->host,
	    "[");
	add_value(&line, "", refusal->client, "]");
	add_value(&line, ", sasl_username=", refusal->login, "");
	add_value(&line, ", from=<", dsn_strip_brackets(refusal->sender), ">");
	add_value(&line, ", to=<", dsn_strip_brackets(refusal->recipient), ">");
	buf_printf(&line, ", verdict=%s, rule=%s, reply=\"%s %s %s\"", refusal->verdict,
	    refusal->rule, refusal->reply->code, refusal->reply->enhanced,
	    refusal->reply->text);
	write_line(&line);
}

void report_decision(struct span typed, const char *verdict, size_t entered,
    struct span object)
{
	struct buf line;

	if (!log_is_enabled(LOG_LEVEL_DEBUG)) {
		return;
	}
	buf_init(&line);
	add_value(&line, "rcpt: to=<", dsn_strip_brackets(typed), ">");
	buf_printf(&line, ", verdict=%s, objects=%zu", verdict, entered);
	add_value(&line, ", object=\"", object, "\"");
	if (!line.failed) {
		log_debug("%s", line.data);
	}
	buf_release(&line);
}

static const char *action_text(uint8_t kind)
{
	switch ((enum delivery_kind)kind) {
	case DELIVERY_SELF: return "rewrite";
	case DELIVERY_REDIRECT: return "redirect";
	case DELIVERY_GROUP: return "expand";
	case DELIVERY_COPY: break;
	}
	return "copy";
}

static void start_line(struct buf *line, struct span queue_id)
{
	buf_init(line);
	add_value(line, "", queue_id.len ? queue_id : SPAN("NOQUEUE"), ": ");
}

static void end_line(struct buf *line, const struct envelope_recipient *recipient,
    const struct envelope_path *path)
{
	add_value(line, "orig_to=<", dsn_strip_brackets(recipient->typed),
	    ">, action=");
	buf_add_text(line, action_text(path->kind));
	add_value(line, ", object=\"", recipient->object, "\", rule=");
	buf_add_text(line, rule_text((enum rule)path->rule));
}

static void report_recipient(const struct envelope *envelope,
    const struct envelope_recipient *recipient, struct span queue_id)
{
	/* Where all is left to other recipients of the message. */
	static const struct envelope_path elsewhere = { .kind = DELIVERY_GROUP,
		.rule = RULE_MEMBER };
	const struct envelope_path *first = NULL;
	size_t changed = 0;
	struct buf line;

	for (size_t i = 0; i < recipient->path_count; i++) {
		if (recipient->paths[i].address != recipient->address) {
			first = first ? first : &recipient->paths[i];
			changed++;
		}
	}
	if (first == NULL && !recipient->is_covered) {
		return;
	}
	if (first == NULL || changed > REPORT_LINES_MAX) {
		start_line(&line, queue_id);
		end_line(&line, recipient, first ? first : &elsewhere);
		buf_printf(&line, ", count=%zu", changed);
		write_line(&line);
		return;
	}
	for (size_t i = 0; i < recipient->path_count; i++) {
		const struct envelope_path *path = &recipient->paths[i];

		if (path->address == recipient->address) {
			continue;
		}
		start_line(&line, queue_id);
		add_value(&line, "to=<", envelope->addresses[path->address].text,
		    ">, ");
		end_line(&line, recipient, path);
		write_line(&line);
	}
}

void report_sender(struct span queue_id, struct span sender, struct span new_sender,
    const char *rule)
{
	bool is_kept = span_is_empty(new_sender);
	struct buf line;

	start_line(&line, queue_id);
	add_value(&line, "from=<", dsn_strip_brackets(is_kept ? sender : new_sender), ">");
	if (!is_kept) {
		add_value(&line, ", orig_from=<", dsn_strip_brackets(sender), ">");
	}
	buf_printf(&line, ", action=%s, rule=%s", is_kept ? "keep" : "rewrite", rule);
	write_line(&line);
}

void report_changes(const struct envelope *envelope, struct span queue_id)
{
	if (!log_is_enabled(LOG_LEVEL_INFO)) {
		return;
	}
	for (size_t i = 0; i < envelope->recipient_count; i++) {
		report_recipient(envelope, &envelope->recipients[i], queue_id);
	}
}
