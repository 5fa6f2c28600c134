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

/* What may stand in a rule as it is, and in a line of m4. */
static bool is_plain(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') ||
			(c != '\0' && strchr("._-/", c) != NULL))) {
			return false;
		}
	}
	return text.len > 0;
}

/* The digits at the end behind a ":", which are cut off; 0: there are none. */
static unsigned take_port(struct span *host)
{
	size_t start = host->len;
	unsigned port = 0;

	while (start > 0 && host->ptr[start - 1] >= '0' &&
	       host->ptr[start - 1] <= '9') {
		start--;
	}
	if (start == host->len || start < 2 || host->ptr[start - 1] != ':') {
		return 0;
	}
	for (size_t i = start; i < host->len && port <= PORT_MAX; i++) {
		port = port * 10 + (unsigned)(host->ptr[i] - '0');
	}
	host->len = start - 1;
	return port <= PORT_MAX ? port : 0;
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
		if (rest.len > 0 && rest.ptr[0] == '/' && is_plain(rest)) {
			hop.kind = HOP_LMTP_SOCKET;
			hop.path = strndup(rest.ptr, rest.len);
		}
		return hop;
	}
	(void)take_prefix(&rest, SPAN("inet:"));
	hop.port = take_port(&rest);
	if (hop.port > 0) {
		hop.kind = HOP_LMTP_PORT;
	}
	return hop;
}

struct hop hop_of(struct span next_hop)
{
	struct hop hop = { .kind = HOP_UNUSABLE };

	if (take_prefix(&next_hop, SPAN("lmtp:"))) {
		return lmtp_hop(next_hop);
	}
	if (take_prefix(&next_hop, SPAN("smtp:")) ||
	    take_prefix(&next_hop, SPAN("relay:"))) {
		hop.port = take_port(&next_hop);
		hop.kind = hop.port > 0 ? HOP_SMTP_PORT : HOP_PLAIN;
	}
	return hop;
}

static bool is_same(const struct hop *a, const struct hop *b)
{
	return a->kind == b->kind && a->port == b->port &&
	       (a->kind != HOP_LMTP_SOCKET || strcmp(a->path, b->path) == 0);
}

/* Takes the path over. */
static void add(struct hops *hops, struct hop hop)
{
	struct hop *larger;

	for (size_t i = 0; i < hops->count; i++) {
		if (is_same(&hops->hops[i], &hop)) {
			free(hop.path);
			return;
		}
	}
	larger = hops->count < SENDMAIL_HOPS_MAX
		     ? reallocarray(hops->hops, hops->count + 1, sizeof(*larger))
		     : NULL;
	if (larger == NULL) {
		hops->failed = true;
		free(hop.path);
		return;
	}
	hops->hops = larger;
	hops->hops[hops->count++] = hop;
}

static void add_next_hop(struct hops *hops, struct span next_hop)
{
	struct hop hop = hop_of(next_hop);
	struct buf escaped;

	if (hop.kind == HOP_LMTP_SOCKET && hop.path == NULL) {
		hops->failed = true;
	} else if (hop.kind == HOP_UNUSABLE) {
		buf_init(&escaped);
		buf_add_escaped(&escaped, next_hop);
		complain("Sendmail cannot use the next hop %s: mail for it will wait",
		    escaped.data ? escaped.data : "");
		buf_release(&escaped);
	} else if (hop.kind != HOP_PLAIN) {
		add(hops, hop);
	}
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
