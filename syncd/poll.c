#include "config.h"

#include "syncd/poll.h"

#include <stdio.h>
#include <string.h>

#include "syncd/syncrepl.h"

void poll_init(struct poll *p, struct source *source, struct uuid_set *refused)
{
	memset(p, 0, sizeof(*p));
	p->source = source;
	p->refused = refused;
	p->msgid = -1;
	batch_init(&p->batch, source->id, source->scratch);
	uuid_set_init(&p->seen, source->scratch);
	uuid_set_init(&p->missing, source->scratch);
	ldap_entry_init(&p->entry);
}

void poll_release(struct poll *p)
{
	poll_reset(p);
	batch_release(&p->batch);
	uuid_set_release(&p->seen);
	uuid_set_release(&p->missing);
	ldap_entry_release(&p->entry);
}

void poll_reset(struct poll *p)
{
	p->msgid = -1;
	ber_bvfree(p->page);
	p->page = NULL;
	p->entries = 0;
	batch_clear(&p->batch);
	uuid_set_clear(&p->seen);
}

int poll_send(struct poll *p, LDAP *ld, const char *base, int scope, const char *filter,
    char **attributes)
{
	LDAPControl *control = NULL;
	int rc = ldap_create_page_control(ld, POLL_PAGE_SIZE, p->page, 0, &control);

	if (rc == LDAP_SUCCESS) {
		LDAPControl *controls[] = { control, NULL };

		rc = ldap_search_ext(ld, base, scope, filter, attributes, 0, controls,
		    NULL, NULL, LDAP_NO_LIMIT, &p->msgid);
	}
	ldap_control_free(control);
	return rc;
}

static enum poll_event broken(struct poll *p, const char *what)
{
	snprintf(p->text, sizeof(p->text), "%s", what);
	return POLL_BROKEN;
}

static enum poll_event on_entry(struct poll *p, LDAP *ld, LDAPMessage *message)
{
	uint8_t uuid[SYNC_UUID_SIZE];
	enum status status = ldap_entry_load(&p->entry, ld, message);

	if (status == CX_OK) {
		status = ldap_entry_identity(&p->entry, uuid);
		if (status == CX_EINVAL || status == CX_ETOOLONG) {
			source_skipped(p->source, p->entry.entry.dn,
			    "it has neither an entryUUID nor a usable DN");
			return POLL_NOTHING;
		}
	}
	if (status == CX_OK) {
		status = uuid_set_add(&p->seen, uuid);
	}
	if (status == CX_OK) {
		status = syncrepl_take_entry(p->source, &p->batch, &p->entry, uuid,
		    p->refused);
	}
	p->entries++;
	return status == CX_OK ? POLL_NOTHING : broken(p, status_text(status));
}

/* The cookie for the next page; none: this was the last. */
static enum poll_event next_page(struct poll *p, LDAP *ld, LDAPControl **controls)
{
	LDAPControl *control =
	    controls ? ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL)
		     : NULL;
	struct berval cookie = { 0, NULL };
	ber_int_t estimate;

	ber_bvfree(p->page);
	p->page = NULL;
	if (control == NULL) {
		return POLL_DONE;
	}
	if (ldap_parse_pageresponse_control(ld, control, &estimate, &cookie) !=
	    LDAP_SUCCESS) {
		return broken(p, "the control of a page does not decode");
	}
	if (cookie.bv_len > 0) {
		p->page = ber_bvdup(&cookie);
	}
	ber_memfree(cookie.bv_val);
	return cookie.bv_len == 0 ? POLL_DONE
	       : p->page != NULL  ? POLL_PAGE
				  : broken(p, status_text(CX_ENOMEM));
}

enum poll_event poll_message(struct poll *p, LDAP *ld, LDAPMessage *message)
{
	LDAPControl **controls = NULL;
	enum poll_event event = POLL_ENDED;
	char *text = NULL;

	switch (ldap_msgtype(message)) {
	case LDAP_RES_SEARCH_ENTRY: return on_entry(p, ld, message);
	case LDAP_RES_SEARCH_RESULT: break;
	default: return POLL_NOTHING;
	}
	p->msgid = -1;
	if (ldap_parse_result(ld, message, &p->result, NULL, &text, NULL, &controls,
		0) != LDAP_SUCCESS) {
		return broken(p, "the result of a page does not decode");
	}
	snprintf(p->text, sizeof(p->text), "%s", text ? text : "");
	if (p->result == LDAP_SUCCESS) {
		event = next_page(p, ld, controls);
	}
	ldap_memfree(text);
	ldap_controls_free(controls);
	return event;
}

enum status poll_seal(struct poll *p, const struct uuid_set *known)
{
	struct uuid_set missing;
	enum status status = CX_OK;

	uuid_set_init(&missing, p->source->scratch);
	for (size_t i = 0; i < known->count && status == CX_OK; i++) {
		const uint8_t *uuid = known->list[i];

		if (uuid_set_has(&p->seen, uuid)) {
			continue;
		}
		status = uuid_set_add(&missing, uuid);
		if (status == CX_OK && !uuid_set_has(&p->missing, uuid)) {
			status = batch_spare(&p->batch, uuid);
		}
	}
	uuid_set_release(&p->missing);
	p->missing = missing;
	p->batch.is_complete = true;
	p->batch.is_refresh = true;
	p->batch.has_contact = true;
	return status;
}
