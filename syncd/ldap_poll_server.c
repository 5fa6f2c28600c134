#include "config.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "syncd/ldap_source.h"

/*
 * What a server that is polled says of itself before each pass: who it is, and Active
 * Directory's counter. Between passes it is asked for our base: that it answers is proof
 * of contact.
 */

static void hash_server(struct ldap_source *ls)
{
	struct polling *poll = &ls->polling;
	unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };
	struct span text = buf_span(&poll->server_text);

	/* Without memory it is another server: a full pass too many. */
	EVP_Digest(text.ptr, text.len, digest, NULL, EVP_sha256(), NULL);
	memcpy(poll->server, digest, sizeof(poll->server));
}

void lsrc_poll_ask_server(struct ldap_source *ls)
{
	static const char *const names[] = { "highestCommittedUSN", "dsServiceName",
		"dnsHostName", NULL };
	struct polling *poll = &ls->polling;

	poll->has_usn = false;
	free(poll->service);
	poll->service = NULL;
	buf_clear(&poll->server_text);
	buf_add_text(&poll->server_text, ls->uris[ls->uri_at]);
	lsrc_search(ls, "", LDAP_SCOPE_BASE, "(objectClass=*)",
	    (char **)(uintptr_t)names, NULL, &poll->root_msgid);
}

static void add_server_value(struct ldap_source *ls, const char *name)
{
	const struct attribute *a = entry_find(&ls->entry.entry, name);

	buf_add_char(&ls->polling.server_text, '\0');
	if (a != NULL && a->count == 1) {
		buf_add_span(&ls->polling.server_text, a->values[0]);
	}
}

static void on_root_entry(struct ldap_source *ls)
{
	struct polling *poll = &ls->polling;
	const struct attribute *a = entry_find(&ls->entry.entry, "highestCommittedUSN");

	poll->has_usn =
	    a != NULL && a->count == 1 && poll_usn_parse(a->values[0], &poll->usn);
	a = entry_find(&ls->entry.entry, "dsServiceName");
	if (a != NULL && a->count == 1 && poll->service == NULL) {
		poll->service = strndup(a->values[0].ptr, a->values[0].len);
	}
	add_server_value(ls, "dsServiceName");
	add_server_value(ls, "dnsHostName");
}

/* Active Directory's invocationId is another one after a restore. */
void lsrc_poll_server_message(struct ldap_source *ls, LDAPMessage *message)
{
	static const char *const names[] = { "invocationId", NULL };
	struct polling *poll = &ls->polling;
	bool is_root = ldap_msgid(message) == poll->root_msgid;

	if (ldap_msgtype(message) == LDAP_RES_SEARCH_ENTRY) {
		if (ldap_entry_load(&ls->entry, ls->ld, message) != CX_OK) {
			return;
		}
		if (is_root) {
			on_root_entry(ls);
		} else {
			add_server_value(ls, "invocationId");
		}
		return;
	}
	if (ldap_msgtype(message) != LDAP_RES_SEARCH_RESULT) {
		return;
	}
	/* What it does not let us read is not needed. */
	poll->root_msgid = poll->service_msgid = -1;
	if (is_root && poll->has_usn && poll->service != NULL) {
		lsrc_search(ls, poll->service, LDAP_SCOPE_BASE, "(objectClass=*)",
		    (char **)(uintptr_t)names, NULL, &poll->service_msgid);
		return;
	}
	hash_server(ls);
	lsrc_poll_choose(ls);
}

/* --- Contact --- */

void lsrc_on_contact_timer(struct ldap_source *ls)
{
	static char none[] = LDAP_NO_ATTRS;
	char *attributes[] = { none, NULL };
	struct polling *poll = &ls->polling;

	if (poll->contact_msgid >= 0) {
		if (poll->is_contact_late) {
			lsrc_lost(ls, "the server does not answer");
			return;
		}
		poll->is_contact_late = true;
	} else {
		poll->is_contact_late = false;
		if (!lsrc_search(ls, ls->source->conf->base, LDAP_SCOPE_BASE,
			"(objectClass=*)", attributes, NULL, &poll->contact_msgid)) {
			return;
		}
	}
	lsrc_timer_start(ls, TIMER_CONTACT, ls->source->contact_ms);
}

void lsrc_contact_message(struct ldap_source *ls, LDAPMessage *message)
{
	char text[256];
	struct batch batch;

	if (ldap_msgtype(message) != LDAP_RES_SEARCH_RESULT) {
		return;
	}
	ls->polling.contact_msgid = -1;
	if (lsrc_result_of(ls, message, text) != LDAP_SUCCESS) {
		return; /* no proof of anything; the next pass says what is wrong */
	}
	batch_init(&batch, ls->source->id, ls->source->scratch);
	batch.has_contact = true;
	/* What is wrong with the replica was said. */
	(void)source_deliver(ls->source, &batch);
	batch_release(&batch);
}
