#include "config.h"

#include "decide/authorize.h"

#include "decide/age.h"
#include "decide/lookup.h"
#include "decide/net.h"
#include "decide/resolve.h"
#include "replica/connector.h"

#define FINGERPRINT_LEN 64 /* SHA-256 in hexadecimal */

/* The object behind an answer, for the log: not having it changes nothing. */
static struct span object_dn(const struct view *view, const struct record_id *id)
{
	struct record record;

	if (snapshot_record(view->snapshot, id, &record) != CX_OK) {
		return (struct span){ NULL, 0 };
	}
	return record_first(&record, TAG_DN);
}

static bool answer(struct authorization *out, enum relay_verdict verdict,
    enum relay_reason reason, struct span object)
{
	out->verdict = verdict;
	out->reason = reason;
	out->object = object;
	return true;
}

static bool answer_status(struct authorization *out)
{
	return answer(out, RELAY_UNAVAILABLE, RELAY_BY_REPLICA, (struct span){ NULL, 0 });
}

/*
 * Each rule returns true when it has the answer. `by_login` is what the login is worth
 * once the network had no say: an unknown login may be in a directory we do not know.
 */
static bool by_login(const struct view *view, const struct relay_facts *facts,
    struct authorization *out, bool *is_unknown)
{
	struct recipient account;
	struct record_id id;
	uint32_t sources = 0;
	enum status status;

	*is_unknown = false;
	if (span_is_empty(facts->login)) {
		return false;
	}
	status = lookup_login(view, facts->login, &id, &account);
	if (status == CX_NOTFOUND || status == CX_EEXIST) {
		if (view->settings->authenticated_relay == AUTHENTICATED_RELAY_ANY &&
		    status == CX_NOTFOUND && age_allows_delivery(view, AGE_ALL_SOURCES)) {
			return answer(out, RELAY_PERMITTED, RELAY_BY_LOGIN, SPAN(""));
		}
		*is_unknown = true;
		return false;
	}
	if (status != CX_OK) {
		return answer_status(out);
	}
	lookup_note_source(view, id.source, &sources);
	if (!age_allows_delivery(view, sources)) {
		return answer(out, RELAY_UNAVAILABLE, RELAY_BY_AGE, account.dn);
	}
	if ((account.flags & RECIPIENT_RELAY_FORBIDDEN) != 0) {
		return answer(out, RELAY_FORBIDDEN, RELAY_BY_LOGIN, account.dn);
	}
	if (view->settings->authenticated_relay == AUTHENTICATED_RELAY_NONE) {
		return false;
	}
	return answer(out, RELAY_PERMITTED, RELAY_BY_LOGIN, account.dn);
}

/* "AA:BB:..." as Postfix writes it, or plain hexadecimal. */
static bool normalise_fingerprint(struct span text, char out[FINGERPRINT_LEN])
{
	size_t i, len = 0;
	char c;

	for (i = 0; i < text.len; i++) {
		c = text.ptr[i];
		if (c == ':') {
			continue;
		}
		if (c >= 'A' && c <= 'F') {
			c = (char)(c - 'A' + 'a');
		}
		if (len == FINGERPRINT_LEN ||
		    !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
			return false;
		}
		out[len++] = c;
	}
	return len == FINGERPRINT_LEN;
}

static bool by_fingerprint(const struct view *view, struct span text,
    struct authorization *out)
{
	char fingerprint[FINGERPRINT_LEN];
	struct record_id id;
	uint32_t sources = 0;
	enum status status;

	if (!normalise_fingerprint(text, fingerprint)) {
		return false;
	}
	status = snapshot_certificate(view->snapshot,
	    (struct span){ fingerprint, FINGERPRINT_LEN }, &id);
	if (status == CX_NOTFOUND) {
		return false;
	}
	if (status != CX_OK) {
		return answer_status(out);
	}
	lookup_note_source(view, id.source, &sources);
	if (!age_allows_delivery(view, sources)) {
		return answer(out, RELAY_UNAVAILABLE, RELAY_BY_AGE, SPAN(""));
	}
	return answer(out, RELAY_PERMITTED, RELAY_BY_CERTIFICATE, object_dn(view, &id));
}

static bool by_network(const struct view *view, const struct relay_facts *facts,
    struct authorization *out)
{
	struct net_entry entry;
	uint32_t sources = 0;
	enum status status;

	if (!facts->has_ip) {
		return false;
	}
	status = net_relay(view, &facts->ip, &entry);
	if (status == CX_NOTFOUND) {
		return false;
	}
	if (status != CX_OK) {
		return answer_status(out);
	}
	lookup_note_source(view, entry.connector.source, &sources);
	if (entry.role == NET_RELAY_DENY) {
		return answer(out, RELAY_FORBIDDEN, RELAY_BY_NETWORK,
		    object_dn(view, &entry.connector));
	}
	if (!age_allows_delivery(view, sources)) {
		return answer(out, RELAY_UNAVAILABLE, RELAY_BY_AGE, SPAN(""));
	}
	return answer(out, RELAY_PERMITTED, RELAY_BY_NETWORK,
	    object_dn(view, &entry.connector));
}

void authorize(const struct view *view, const struct relay_facts *facts,
    struct authorization *out)
{
	bool is_unknown_login;

	if (by_login(view, facts, out, &is_unknown_login) ||
	    by_fingerprint(view, facts->certificate_fingerprint, out) ||
	    by_fingerprint(view, facts->key_fingerprint, out) ||
	    by_network(view, facts, out)) {
		/* To forbid is to refuse for good, and that takes all directories. */
		if (out->verdict == RELAY_FORBIDDEN && !age_allows_refusal(view)) {
			answer(out, RELAY_UNAVAILABLE, RELAY_BY_AGE, out->object);
		}
		return;
	}
	/* Nothing speaks for the client; is that knowledge, or the lack of it? */
	if (!age_knows_domains(view) || !age_knows_connectors(view) ||
	    (is_unknown_login && !age_allows_refusal(view))) {
		answer(out, RELAY_UNAVAILABLE, RELAY_BY_AGE, SPAN(""));
		return;
	}
	answer(out, RELAY_NOT_PERMITTED, RELAY_BY_NOTHING, SPAN(""));
}

/* Its own, or the target of a custom recipient that counts as its address (SPEC section 5, 3). */
static bool is_own(const struct view *view, const struct found *found,
    const struct address *address)
{
	struct span name = { address->domain, address->domain_len };
	struct domain domain;
	struct record_id id;

	return found->rank == RANK_OWN || find_domain(view, name, &domain, &id) == CX_OK;
}

enum status authorize_sender(const struct view *view, struct span login,
    const struct address *sender)
{
	struct recipient account;
	struct record_id id;
	struct found found;
	enum status status;

	if (sender == NULL) {
		return CX_OK;
	}
	status = lookup_login(view, login, &id, &account);
	if (status == CX_OK) {
		status = lookup_address(view, sender, &found, NULL);
		if (status == CX_OK && record_id_equal(&found.id, &id) &&
		    is_own(view, &found, sender)) {
			return CX_OK;
		}
	}
	if (status == CX_ETEMP || status == CX_EFORMAT || !age_allows_refusal(view)) {
		return CX_ETEMP;
	}
	return CX_NOTFOUND;
}

const char *relay_verdict_text(enum relay_verdict verdict)
{
	switch (verdict) {
	case RELAY_NOT_PERMITTED: return "not permitted";
	case RELAY_PERMITTED: return "permitted";
	case RELAY_FORBIDDEN: return "forbidden";
	case RELAY_UNAVAILABLE: return "unavailable";
	}
	return "unavailable";
}

const char *relay_reason_text(enum relay_reason reason)
{
	switch (reason) {
	case RELAY_BY_NOTHING: return "nothing";
	case RELAY_BY_LOGIN: return "login";
	case RELAY_BY_CERTIFICATE: return "certificate";
	case RELAY_BY_NETWORK: return "network";
	case RELAY_BY_AGE: return "age";
	case RELAY_BY_REPLICA: return "replica";
	}
	return "replica";
}
