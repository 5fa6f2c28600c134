#include "config.h"

#include <stdio.h>
#include <string.h>

#include "syncd/poll_parts.h"

/*
 * Entries asked for one by one: those that differ, to read them; those that did not come,
 * to be sure. Each search asks for an entry that is there besides: where not even that is found,
 * the server cannot be searched by these ids, and its silence proves nothing.
 */

/* Entries in one search. */
#define ASK_AT_ONCE 50

static bool is_searchable(const struct poll *p)
{
	return p->kinds != 0 && (p->kinds & LDAP_IDENTITY_DN) == 0;
}

bool poll_needs_all(const struct poll *p)
{
	return p->wanted.count > 0 &&
	       (p->wanted.count > POLL_ASK_MAX || !is_searchable(p));
}

/* The entry in turn; false: no more. Very many that did not come are left to the next pass. */
static bool next_id(struct poll *p, const uint8_t **uuid)
{
	size_t absent =
	    p->absent.count <= POLL_ASK_MAX && p->seen.count > 0 ? p->absent.count : 0;

	if (p->ask_at < p->wanted.count) {
		*uuid = p->wanted.list[p->ask_at++];
		return true;
	}
	if (p->ask_at < p->wanted.count + absent) {
		*uuid = p->absent.list[p->ask_at++ - p->wanted.count];
		return true;
	}
	return false;
}

/* One that came and is not asked for anyway: the last ones are the least likely to differ. */
static void choose_witness(struct poll *p)
{
	p->found_witness = false;
	for (size_t i = p->seen.count; i > 0 && !p->has_witness; i--) {
		if (!uuid_set_has(&p->wanted, p->seen.list[i - 1])) {
			memcpy(p->witness, p->seen.list[i - 1], sizeof(p->witness));
			p->has_witness = true;
		}
	}
}

bool poll_ask(struct poll *p, const char *filter, struct buf *out)
{
	const uint8_t *uuid;
	size_t count = 0;

	uuid_set_clear(&p->asked);
	if (!is_searchable(p)) {
		return false;
	}
	choose_witness(p);
	buf_printf(out, "(&%s(|", filter);
	while (count < ASK_AT_ONCE && next_id(p, &uuid)) {
		ldap_identity_terms(out, p->kinds, uuid);
		count++;
		if (uuid_set_add(&p->asked, uuid) != CX_OK) {
			out->failed = true;
		}
	}
	if (p->has_witness) {
		ldap_identity_terms(out, p->kinds, p->witness);
	}
	buf_add_text(out, "))");
	return count > 0;
}

static enum status on_entry(struct poll *p, LDAP *ld, LDAPMessage *message)
{
	uint8_t uuid[SYNC_UUID_SIZE];
	bool is_good;
	enum status status = poll_take(p, ld, message, uuid, &is_good);

	if (status != CX_OK || !is_good) {
		return status;
	}
	if (p->has_witness && memcmp(uuid, p->witness, sizeof(uuid)) == 0) {
		p->found_witness = true;
		return CX_OK;
	}
	return uuid_set_has(&p->asked, uuid) ? uuid_set_add(&p->answered, uuid) : CX_OK;
}

/* What was not found: gone if the witness was found, and nobody knows if it was not. */
static enum status conclude(struct poll *p)
{
	enum status status = CX_OK;

	for (size_t i = 0; i < p->asked.count && status == CX_OK; i++) {
		const uint8_t *uuid = p->asked.list[i];

		if (uuid_set_has(&p->answered, uuid)) {
			continue;
		}
		if (!p->found_witness) {
			p->has_unread |= uuid_set_has(&p->wanted, uuid);
		} else if (uuid_set_has(&p->absent, uuid)) {
			status = uuid_set_add(&p->gone, uuid);
		}
	}
	return status;
}

enum poll_event poll_ask_message(struct poll *p, LDAP *ld, LDAPMessage *message)
{
	enum poll_event event = POLL_DONE;
	enum status status = CX_OK;
	char *text = NULL;

	switch (ldap_msgtype(message)) {
	case LDAP_RES_SEARCH_ENTRY: status = on_entry(p, ld, message); break;
	case LDAP_RES_SEARCH_RESULT:
		p->msgid = -1;
		if (ldap_parse_result(ld, message, &p->result, NULL, &text, NULL, NULL,
			0) != LDAP_SUCCESS) {
			status = CX_EINVAL;
		} else if (p->result == LDAP_SUCCESS) {
			status = conclude(p);
			break;
		} else {
			event = POLL_ENDED;
		}
		break;
	default: break;
	}
	snprintf(p->text, sizeof(p->text), "%s",
	    status != CX_OK ? status_text(status)
	    : text          ? text
			    : "");
	ldap_memfree(text);
	return status != CX_OK                                   ? POLL_BROKEN
	       : ldap_msgtype(message) == LDAP_RES_SEARCH_RESULT ? event
								 : POLL_NOTHING;
}
