#include "config.h"

#include "syncd/poll.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "syncd/ldap_ranges.h"
#include "syncd/poll_parts.h"
#include "syncd/syncrepl.h"

/* Of them are made the stamps of an entry: all that the server has. */
static const char *const stamp_names[] = { "entryCSN", "modifyTimestamp", "uSNChanged",
	NULL };

const char *const poll_attributes[] = { "entryUUID", "objectGUID", "nsUniqueId",
	"entryCSN", "modifyTimestamp", "uSNChanged", NULL };

void poll_init(struct poll *p, struct source *source, struct uuid_set *refused)
{
	memset(p, 0, sizeof(*p));
	p->source = source;
	p->refused = refused;
	p->msgid = -1;
	batch_init(&p->batch, source->id, source->scratch);
	uuid_set_init(&p->seen, source->scratch);
	uuid_set_init(&p->wanted, source->scratch);
	uuid_set_init(&p->absent, source->scratch);
	uuid_set_init(&p->missing, source->scratch);
	uuid_set_init(&p->gone, source->scratch);
	uuid_set_init(&p->asked, source->scratch);
	uuid_set_init(&p->answered, source->scratch);
	poll_stamps_init(&p->stamps);
	poll_stamps_init(&p->next_stamps);
	ldap_entry_init(&p->entry);
}

void poll_release(struct poll *p)
{
	poll_reset(p);
	batch_release(&p->batch);
	uuid_set_release(&p->missing);
	poll_stamps_release(&p->stamps);
	ldap_entry_release(&p->entry);
}

/* Passes over everything are rare: their memory is not kept for the next. */
void poll_reset(struct poll *p)
{
	p->msgid = -1;
	ber_bvfree(p->page);
	p->page = NULL;
	p->entries = p->whole = p->references = p->ask_at = 0;
	p->at_last_page = p->idle_pages = 0;
	p->kinds = 0;
	p->has_witness = p->has_time = p->has_news = p->has_unread = false;
	p->result = LDAP_SUCCESS;
	p->text[0] = '\0';
	batch_clear(&p->batch);
	uuid_set_release(&p->seen);
	uuid_set_release(&p->wanted);
	uuid_set_release(&p->absent);
	uuid_set_release(&p->gone);
	uuid_set_release(&p->asked);
	uuid_set_release(&p->answered);
	poll_stamps_release(&p->next_stamps);
	free(p->facts);
	p->facts = NULL;
	p->fact_room = 0;
}

void poll_start(struct poll *p, enum poll_pass pass, bool is_lean)
{
	poll_reset(p);
	p->pass = pass;
	p->is_lean = is_lean;
}

bool poll_reads_stamps(const struct poll *p)
{
	return p->pass == POLL_IDENTITIES || (p->pass == POLL_NEW && p->is_lean);
}

int poll_send(struct poll *p, LDAP *ld, const char *base, int scope, const char *filter,
    char **attributes)
{
	char **wanted =
	    poll_reads_stamps(p) ? (char **)(uintptr_t)poll_attributes : attributes;
	LDAPControl *control = NULL;
	int rc = ldap_create_page_control(ld, POLL_PAGE_SIZE, p->page, 0, &control);

	if (rc == LDAP_SUCCESS) {
		LDAPControl *controls[] = { control, NULL };

		rc = ldap_search_ext(ld, base, scope, filter, wanted, 0, controls, NULL,
		    NULL, LDAP_NO_LIMIT, &p->msgid);
	}
	ldap_control_free(control);
	return rc;
}

/* So many pages may come in a row that bring nothing: RFC 2696 lets a page be empty. */
#define IDLE_PAGES_MAX 1000

static enum poll_event broken(struct poll *p, const char *what)
{
	snprintf(p->text, sizeof(p->text), "%s", what);
	return POLL_BROKEN;
}

/* --- Entries --- */

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++) {
		hash = (hash ^ at[i]) * 0x100000001b3u;
	}
	/* The end of one field is not the beginning of the next. */
	return (hash ^ 0x1ff) * 0x100000001b3u;
}

uint64_t poll_dn_hash(struct span dn)
{
	return hash_bytes(0xcbf29ce484222325u, dn.ptr, dn.len);
}

/* Who it is, what it is called, and every stamp that it has; 0: it has none. */
static uint64_t hash_entry(const struct ldap_entry *le, const uint8_t uuid[16])
{
	uint64_t hash = hash_bytes(poll_dn_hash(le->entry.dn), uuid, 16);
	size_t count = 0;

	for (size_t i = 0; stamp_names[i] != NULL; i++) {
		const struct attribute *a = entry_find(&le->entry, stamp_names[i]);

		for (size_t j = 0; a != NULL && j < a->count; j++) {
			hash = hash_bytes(hash, a->values[j].ptr, a->values[j].len);
			count++;
		}
	}
	return count == 0 ? 0 : hash == 0 ? 1 : hash;
}

static void note_time(struct poll *p, bool is_news)
{
	const struct attribute *a = entry_find(&p->entry.entry, "modifyTimestamp");
	int64_t at;

	if (a == NULL || a->count != 1 || !poll_time_parse(a->values[0], &at)) {
		return;
	}
	if (!p->has_time || at > p->time_max) {
		p->has_time = true;
		p->time_max = at;
	}
	if (is_news && (!p->has_news || at > p->news_max)) {
		p->has_news = true;
		p->news_max = at;
	}
}

/* *is_changed: it did not have this name and these stamps before, or nobody knows. */
static enum status note_stamps(struct poll *p, const uint8_t uuid[16], bool *is_changed)
{
	uint64_t hash = hash_entry(&p->entry, uuid);

	*is_changed = hash == 0 || !poll_stamps_has(&p->stamps, hash);
	note_time(p, *is_changed);
	return hash == 0 ? CX_OK : poll_stamps_add(&p->next_stamps, hash);
}

static enum status note_fact(struct poll *p, const uint8_t uuid[16])
{
	size_t at;

	if (p->seen.count >= p->fact_room) {
		size_t room = p->fact_room ? 2 * p->fact_room : 1024;
		void *grown = reallocarray(p->facts, room, sizeof(p->facts[0]));

		if (grown == NULL) {
			return CX_ENOMEM;
		}
		p->facts = grown;
		p->fact_room = room;
	}
	if (uuid_set_find(&p->seen, uuid, &at)) {
		return CX_OK;
	}
	p->facts[p->seen.count] =
	    (struct poll_fact){ poll_dn_hash(p->entry.entry.dn), false };
	return CX_OK;
}

/* Only its name and its stamps came. */
static enum status note_identity(struct poll *p, const uint8_t uuid[16],
    bool is_changed)
{
	enum status status = note_fact(p, uuid);

	/* With nothing to compare with, only the name tells (poll_compare()). */
	if (status == CX_OK && is_changed && p->stamps.count > 0) {
		status = uuid_set_add(&p->wanted, uuid);
	}
	return status;
}

static enum status load(struct poll *p, LDAP *ld, LDAPMessage *message,
    uint8_t uuid[16], bool *is_good)
{
	enum ldap_identity kind;
	enum status status = ldap_entry_load(&p->entry, ld, message);

	*is_good = false;
	if (status != CX_OK) {
		return status;
	}
	status = ldap_entry_identity(&p->entry, uuid, &kind);
	if (status == CX_EINVAL || status == CX_ETOOLONG) {
		source_skipped(p->source, p->entry.entry.dn,
		    "it has neither an entryUUID nor a usable DN");
		return CX_OK;
	}
	*is_good = status == CX_OK;
	if (*is_good) {
		p->kinds |= kind;
	}
	return status;
}

enum status poll_take(struct poll *p, LDAP *ld, LDAPMessage *message, uint8_t uuid[16],
    bool *is_good)
{
	enum status status = load(p, ld, message, uuid, is_good);

	if (status == CX_OK && *is_good) {
		p->entries++;
		p->whole++;
		status = syncrepl_take_entry(p->source, &p->batch, &p->entry, uuid,
		    p->refused);
	}
	return status;
}

static enum poll_event on_entry(struct poll *p, LDAP *ld, LDAPMessage *message)
{
	uint8_t uuid[SYNC_UUID_SIZE];
	bool is_good, is_changed = false;
	enum status status;

	if (poll_reads_stamps(p)) {
		status = load(p, ld, message, uuid, &is_good);
		p->entries++;
	} else {
		status = poll_take(p, ld, message, uuid, &is_good);
	}
	if (status != CX_OK || !is_good) {
		return status == CX_OK ? POLL_NOTHING : broken(p, status_text(status));
	}
	status = note_stamps(p, uuid, &is_changed);
	if (status == CX_OK && poll_reads_stamps(p)) {
		status = note_identity(p, uuid, is_changed);
	}
	if (status == CX_OK && (p->pass != POLL_NEW || p->is_lean)) {
		status = uuid_set_add(&p->seen, uuid);
	}
	return status == CX_OK ? POLL_NOTHING : broken(p, status_text(status));
}

/* --- Messages --- */

/* Empty pages, or the same ones over and over, would go on for ever. */
static bool is_getting_on(struct poll *p)
{
	size_t now = (p->seen.count > 0 ? p->seen.count : p->entries) + p->references;

	p->idle_pages = now > p->at_last_page ? 0 : p->idle_pages + 1;
	p->at_last_page = now;
	return p->idle_pages <= IDLE_PAGES_MAX;
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
	if (cookie.bv_len > 0 && !is_getting_on(p)) {
		ber_memfree(cookie.bv_val);
		return broken(p, "there are more and more pages, and nothing new in them");
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
	case LDAP_RES_SEARCH_REFERENCE: p->references++; return POLL_NOTHING;
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

/* --- The end --- */

/* A complete batch takes for gone what it does not name. */
static enum status seal_full(struct poll *p)
{
	enum status status = CX_OK;

	for (size_t i = 0; i < p->absent.count && status == CX_OK; i++) {
		const uint8_t *uuid = p->absent.list[i];

		if (!uuid_set_has(&p->gone, uuid) && !uuid_set_has(&p->missing, uuid)) {
			status = batch_spare(&p->batch, uuid);
		}
	}
	p->batch.is_complete = p->batch.is_full = true;
	return status;
}

static enum status seal_identities(struct poll *p)
{
	enum status status = CX_OK;

	for (size_t i = 0; i < p->absent.count && status == CX_OK; i++) {
		const uint8_t *uuid = p->absent.list[i];

		if (uuid_set_has(&p->gone, uuid) ||
		    (uuid_set_has(&p->missing, uuid) &&
			!uuid_set_has(&p->answered, uuid))) {
			/* Not "deleted": nobody said so, the valve is to judge. */
			status = batch_not_ours(&p->batch, uuid);
		}
	}
	return status;
}

enum status poll_seal(struct poll *p)
{
	p->batch.has_contact = true;
	p->batch.is_refresh = p->pass != POLL_NEW;
	switch (p->pass) {
	case POLL_NEW: return CX_OK;
	case POLL_IDENTITIES: return seal_identities(p);
	case POLL_FULL: return seal_full(p);
	}
	return CX_OK;
}

void poll_commit(struct poll *p)
{
	if (p->pass == POLL_NEW) {
		for (size_t i = 0; i < p->next_stamps.slot_count; i++) {
			/* One that finds no room is read again by the next comparison. */
			if (p->next_stamps.slots[i] != 0) {
				poll_stamps_add(&p->stamps, p->next_stamps.slots[i]);
			}
		}
		return;
	}
	poll_stamps_move(&p->stamps, &p->next_stamps);
	for (size_t i = 0; i < p->answered.count; i++) {
		uuid_set_remove(&p->absent, p->answered.list[i]);
	}
	uuid_set_release(&p->missing);
	p->missing = p->absent;
	uuid_set_init(&p->absent, p->source->scratch);
}
