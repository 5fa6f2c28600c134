#include "config.h"

#include "milter/report.h"

#include <pthread.h>

#include "daemon/log_limit.h"
#include "daemon/log_line.h"
#include "metrics/counter.h"

static void send(enum log_level level, struct log_line *line)
{
	log_line_send(level, line);
	log_line_release(line);
}

/* Whether a line about what would have been refused may be written now. */
static bool may_report_observed(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct log_limit limit;
	unsigned long dropped;
	bool may;

	pthread_mutex_lock(&lock);
	may = log_limit_allow(&limit, LOG_LIMIT_OBSERVED,
	    (int64_t)(histogram_clock_ns() / 1000000), &dropped);
	pthread_mutex_unlock(&lock);
	if (may && dropped > 0) {
		log_warnx("observe: %lu lines like the next were left out", dropped);
	}
	return may;
}

void report_refusal(const struct report_refusal *refusal)
{
	enum log_level level = log_level_of_reply(refusal->reply);
	struct log_line line;

	if (!log_is_enabled(level) ||
	    (refusal->is_observed && !may_report_observed())) {
		return;
	}
	log_line_init(&line);
	log_line_add_value(&line, "NOQUEUE: ", LOG_FIELD_ACTION,
	    refusal->is_observed ? SPAN("observe") : SPAN("reject"), ": client=");
	/* An MTA that knows no name gives the address in brackets; smtpd logs "unknown". */
	log_line_add_value(&line, "", LOG_FIELD_NONE,
	    span_starts_with_case(refusal->host, SPAN("[")) ? SPAN("unknown") : refusal->host,
	    "[");
	log_line_add_value(&line, "", LOG_FIELD_CLIENT, refusal->client, "]");
	log_line_add_value(&line, ", sasl_username=", LOG_FIELD_LOGIN, refusal->login, "");
	log_line_add_value(&line, ", from=<", LOG_FIELD_FROM,
	    dsn_strip_brackets(refusal->sender), ">");
	log_line_add_value(&line, ", to=<", LOG_FIELD_TO,
	    dsn_strip_brackets(refusal->recipient), ">");
	log_line_add_value(&line, ", verdict=", LOG_FIELD_VERDICT, span_of(refusal->verdict),
	    "");
	log_line_add_value(&line, ", rule=", LOG_FIELD_RULE, span_of(refusal->rule), "");
	buf_printf(&line.text, ", reply=\"%s %s %s\"", refusal->reply->code,
	    refusal->reply->enhanced, refusal->reply->text);
	send(level, &line);
}

void report_decision(struct span typed, const char *verdict, size_t entered,
    struct span object)
{
	struct log_line line;

	if (!log_is_enabled(LOG_LEVEL_DEBUG)) {
		return;
	}
	log_line_init(&line);
	log_line_add_value(&line, "rcpt: to=<", LOG_FIELD_TO, dsn_strip_brackets(typed), ">");
	log_line_add_value(&line, ", verdict=", LOG_FIELD_VERDICT, span_of(verdict), "");
	buf_printf(&line.text, ", objects=%zu", entered);
	log_line_add_value(&line, ", object=\"", LOG_FIELD_OBJECT, object, "\"");
	send(LOG_LEVEL_DEBUG, &line);
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

static void start_line(struct log_line *line, struct span queue_id)
{
	log_line_init(line);
	if (queue_id.len > 0) {
		log_line_add_value(line, "", LOG_FIELD_QUEUE_ID, queue_id, ": ");
	} else {
		log_line_add(line, "NOQUEUE: ");
	}
}

static void end_line(struct log_line *line, const struct envelope_recipient *recipient,
    struct span action, enum rule rule)
{
	log_line_add_value(line, "orig_to=<", LOG_FIELD_ORIG_TO,
	    dsn_strip_brackets(recipient->typed), ">");
	log_line_add_value(line, ", action=", LOG_FIELD_ACTION, action, "");
	log_line_add_value(line, ", object=\"", LOG_FIELD_OBJECT, recipient->object, "\"");
	log_line_add_value(line, ", rule=", LOG_FIELD_RULE, span_of(rule_text(rule)), "");
}

static void end_path(struct log_line *line, const struct envelope_recipient *recipient,
    const struct envelope_path *path)
{
	end_line(line, recipient, span_of(action_text(path->kind)), (enum rule)path->rule);
}

/* Who wonders why mail was not forwarded this time finds the reason. */
static void report_return(const struct envelope_recipient *recipient,
    struct span queue_id)
{
	struct log_line line;

	start_line(&line, queue_id);
	end_line(&line, recipient, SPAN("returned"), RULE_LOOP);
	send(LOG_LEVEL_INFO, &line);
}

static void report_recipient(const struct envelope *envelope,
    const struct envelope_recipient *recipient, struct span queue_id)
{
	/* Where all is left to other recipients of the message. */
	static const struct envelope_path elsewhere = { .kind = DELIVERY_GROUP,
		.rule = RULE_MEMBER };
	const struct envelope_path *first = NULL;
	size_t changed = 0;
	struct log_line line;

	for (size_t i = 0; i < recipient->path_count; i++) {
		if (recipient->paths[i].address != recipient->address) {
			first = first ? first : &recipient->paths[i];
			changed++;
		}
	}
	if (recipient->was_here) {
		report_return(recipient, queue_id);
	}
	if (first == NULL && !recipient->is_covered) {
		return;
	}
	if (first == NULL || changed > REPORT_LINES_MAX) {
		start_line(&line, queue_id);
		end_path(&line, recipient, first ? first : &elsewhere);
		buf_printf(&line.text, ", count=%zu", changed);
		send(LOG_LEVEL_INFO, &line);
		return;
	}
	for (size_t i = 0; i < recipient->path_count; i++) {
		const struct envelope_path *path = &recipient->paths[i];

		if (path->address == recipient->address) {
			continue;
		}
		start_line(&line, queue_id);
		log_line_add_value(&line, "to=<", LOG_FIELD_TO,
		    envelope->addresses[path->address].text, ">, ");
		end_path(&line, recipient, path);
		send(LOG_LEVEL_INFO, &line);
	}
}

void report_sender(struct span queue_id, struct span sender, struct span new_sender,
    const char *rule)
{
	bool is_kept = span_is_empty(new_sender);
	struct log_line line;

	if (!log_is_enabled(LOG_LEVEL_INFO)) {
		return;
	}
	start_line(&line, queue_id);
	log_line_add_value(&line, "from=<", LOG_FIELD_FROM,
	    dsn_strip_brackets(is_kept ? sender : new_sender), ">");
	if (!is_kept) {
		log_line_add_value(&line, ", orig_from=<", LOG_FIELD_NONE,
		    dsn_strip_brackets(sender), ">");
	}
	log_line_add_value(&line, ", action=", LOG_FIELD_ACTION,
	    is_kept ? SPAN("keep") : SPAN("rewrite"), "");
	log_line_add_value(&line, ", rule=", LOG_FIELD_RULE, span_of(rule), "");
	send(LOG_LEVEL_INFO, &line);
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
