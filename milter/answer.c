#include "config.h"

#include "milter/session_parts.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "milter/report.h"

const struct reply answer_temporary_failure = { "451", "4.3.0",
	"Temporary failure; try again later" };

struct answer answer_go_on(void)
{
	return (struct answer){ .kind = ANSWER_CONTINUE };
}

struct answer answer_with(const struct reply *reply)
{
	return (struct answer){
		.kind = reply_is_temporary(reply) ? ANSWER_DEFER : ANSWER_REJECT,
		.reply = reply,
	};
}

struct answer answer_defer_message(struct session *session, const struct reply *reply)
{
	snprintf(session->deferral_enhanced, sizeof(session->deferral_enhanced), "4%s",
	    reply->enhanced + 1);
	session->deferral = (struct reply){
		.code = reply_is_temporary(reply) ? reply->code : "451",
		.enhanced = session->deferral_enhanced,
		.text = reply->text,
	};
	return answer_go_on();
}

struct answer answer_refusal(struct session *session, const struct reply *reply)
{
	return session->is_local_submission ? answer_defer_message(session, reply)
					    : answer_with(reply);
}

void answer_report(const struct session *session, struct span typed,
    const char *verdict, const char *rule, const struct reply *reply, bool is_observed)
{
	char text[INET6_ADDRSTRLEN] = "unknown";
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const struct ip *ip = &session->client.ip;

	if (session->client.has_ip && memcmp(ip->bytes, mapped, sizeof(mapped)) == 0) {
		inet_ntop(AF_INET, ip->bytes + 12, text, sizeof(text));
	} else if (session->client.has_ip) {
		inet_ntop(AF_INET6, ip->bytes, text, sizeof(text));
	}
	report_refusal(&(struct report_refusal){ .host = session->host,
	    .client = span_of(text),
	    .login = session->client.login,
	    .sender = session->sender,
	    .recipient = typed,
	    .verdict = verdict,
	    .rule = rule,
	    .reply = reply,
	    .is_observed = is_observed });
}
