#include "config.h"

#include "ctl/sendmail.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/command.h"
#include "decide/next_hop.h"
#include "replica/connector.h"
#include "replica/domain.h"

#define PORT_MAX 65535

void hops_release(struct hops *hops)
{
	for (size_t i = 0; i < hops->count; i++) {
		free(hops->hops[i].path);
	}
	free(hops->hops);
	*hops = (struct hops){ 0 };
}

/* What may stand in a rule as it is, and in a line of m4; `more`: these too. */
static bool is_plain(struct span text, const char *more)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') ||
			(c != '\0' &&
			    (strchr("._-", c) != NULL || strchr(more, c) != NULL)))) {
			return false;
		}
	}
	return text.len > 0;
}

/*
 * What stands behind a ":" at the end, which is cut off: 0 is no port. False: it is none that a
 * mailer can have ("smtp", "0", "99999").
 */
static bool take_port(struct span *host, unsigned *port)
{
	const char *close = host->len > 0 ? memrchr(host->ptr, ']', host->len) : NULL;
	const char *colon = host->len > 0 ? memrchr(host->ptr, ':', host->len) : NULL;
	size_t start;

	*port = 0;
	if (colon == NULL || (close != NULL && colon < close)) {
		return close == NULL || close == host->ptr + host->len - 1;
	}
	start = (size_t)(colon - host->ptr) + 1;
	for (size_t i = start; i < host->len && *port <= PORT_MAX; i++) {
		char c = host->ptr[i];

		if (c < '0' || c > '9') {
			return false;
		}
		*port = *port * 10 + (unsigned)(c - '0');
	}
	host->len = start - 1;
	return *port > 0 && *port <= PORT_MAX;
}

static bool take_prefix(struct span *text, struct span prefix)
{
	if (!span_starts_with_case(*text, prefix)) {
		return false;
	}
	text->ptr += prefix.len;
	text->len -= prefix.len;
	return true;
}

static struct hop lmtp_hop(struct span rest)
{
	struct hop hop = { .kind = HOP_UNUSABLE };

	if (take_prefix(&rest, SPAN("unix:"))) {
		if (rest.len > 0 && rest.ptr[0] == '/' && is_plain(rest, "/")) {
			hop.kind = HOP_LMTP_SOCKET;
			hop.path = strndup(rest.ptr, rest.len);
		}
		return hop;
	}
	(void)take_prefix(&rest, SPAN("inet:"));
	if (take_port(&rest, &hop.port) && hop.port > 0) {
		hop.kind = HOP_LMTP_PORT;
	}
	return hop;
}

struct hop hop_of(struct span next_hop)
{
	struct hop hop = { .kind = HOP_UNUSABLE };

	if (!is_plain(next_hop, "/[]:")) {
		return hop; /* several hosts, with commas between, among others */
	}
	if (take_prefix(&next_hop, SPAN("lmtp:"))) {
		return lmtp_hop(next_hop);
	}
	if (take_prefix(&next_hop, SPAN("smtp:")) ||
	    take_prefix(&next_hop, SPAN("relay:"))) {
		if (take_port(&next_hop, &hop.port)) {
			hop.kind = hop.port > 0 ? HOP_SMTP_PORT : HOP_PLAIN;
		}
	}
	return hop;
}

static bool is_same(const struct hop *a, const struct hop *b)
{
	return a->kind == b->kind && a->port == b->port &&
	       (a->kind != HOP_LMTP_SOCKET || strcmp(a->path, b->path) == 0);
}

static bool is_known(const struct hops *hops, const struct hop *hop)
{
	for (size_t i = 0; i < hops->count; i++) {
		if (is_same(&hops->hops[i], hop)) {
			return true;
		}
	}
	return false;
}

/* Takes the path over, unless it is false: no memory. */
static bool add(struct hops *hops, struct hop hop)
{
	struct hop *larger = reallocarray(hops->hops, hops->count + 1, sizeof(*larger));

	if (larger == NULL) {
		return false;
	}
	hops->hops = larger;
	hops->hops[hops->count++] = hop;
	return true;
}

static void complain_of(struct span next_hop, const char *why)
{
	struct buf escaped;

	buf_init(&escaped);
	buf_add_escaped(&escaped, next_hop);
	complain("%s %s: mail for it will wait", why,
	    escaped.failed || escaped.len == 0 ? "\"\"" : escaped.data);
	buf_release(&escaped);
}

static void add_next_hop(struct hops *hops, struct span next_hop)
{
	struct hop hop = hop_of(next_hop);
	bool needs_path = hop.kind == HOP_LMTP_SOCKET;

	if (hop.kind == HOP_UNUSABLE) {
		complain_of(next_hop, "Sendmail cannot use the next hop");
	} else if (hop.kind == HOP_PLAIN ||
		   (!(needs_path && hop.path == NULL) && is_known(hops, &hop))) {
		/* nothing to add */
	} else if (hops->count + hops->taken == SENDMAIL_HOPS_MAX) {
		complain_of(next_hop,
		    "Sendmail has room for 25 mailers, and none for the next hop");
	} else if ((needs_path && hop.path == NULL) || !add(hops, hop)) {
		hops->failed = true;
	} else {
		return;
	}
	free(hop.path);
}

/* A next hop as the directory has it; the name of a connector is none by itself. */
static void add_written(struct hops *hops, struct span written)
{
	struct buf next_hop;

	if (!next_hop_is_host(written)) {
		return;
	}
	buf_init(&next_hop);
	if (next_hop_print(written, &next_hop) == CX_OK) {
		add_next_hop(hops, buf_span(&next_hop));
	}
	buf_release(&next_hop);
}

static bool visit(void *context, const struct record_id *id,
    const struct record *record)
{
	struct connector connector;
	struct domain domain;

	(void)id;
	if (record->kind == RECORD_CONNECTOR &&
	    connector_decode(record, &connector) == CX_OK) {
		add_written(context, connector.next_hop);
	} else if (record->kind == RECORD_DOMAIN &&
		   domain_decode(record, &domain) == CX_OK) {
		add_written(context, domain.forward_host);
	} else if (record->kind == RECORD_RECIPIENT) {
		add_written(context, record_first(record, TAG_HOME_SERVER));
	}
	return true;
}

bool hops_collect(struct hops *hops, const struct conf *conf)
{
	struct span mailboxes = span_of(conf->settings.mailbox_transport);
	struct snapshot *snapshot;
	struct store *store;
	struct errbuf err;
	bool is_read = false;

	if (!span_is_empty(mailboxes)) {
		add_next_hop(hops, mailboxes);
	}
	if (store_open(conf->replica, &store, &err) != CX_OK) {
		return false;
	}
	if (snapshot_begin(store, &snapshot, NULL) == CX_OK) {
		is_read = snapshot_each(snapshot, visit, hops) == CX_OK;
		snapshot_end(snapshot);
	}
	store_close(store);
	return is_read;
}
