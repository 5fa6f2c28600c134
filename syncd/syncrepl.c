#include "config.h"

#include "syncd/syncrepl.h"

#include <stdio.h>
#include <string.h>

#include "syncd/cookie.h"
#include "syncd/ldap_ranges.h"
#include "syncd/sync_wire.h"

void syncrepl_init(struct syncrepl *s, struct source *source, struct uuid_set *refused)
{
	memset(s, 0, sizeof(*s));
	s->source = source;
	s->refused = refused;
	s->msgid = -1;
	buf_init(&s->cookie);
	batch_init(&s->batch, source->id, source->scratch);
	ldap_entry_init(&s->entry);
}

void syncrepl_release(struct syncrepl *s)
{
	if (s != NULL) {
		buf_release(&s->cookie);
		batch_release(&s->batch);
		ldap_entry_release(&s->entry);
		s->msgid = -1;
	}
}

static enum syncrepl_event broken(struct syncrepl *s, const char *what)
{
	snprintf(s->text, sizeof(s->text), "%s", what);
	return SYNCREPL_BROKEN;
}

int syncrepl_start(struct syncrepl *s, LDAP *ld, const struct syncrepl_request *request)
{
	struct buf cookie, value;
	LDAPControl control, *controls[] = { &control, NULL };
	int rc = LDAP_NO_MEMORY;

	buf_init(&cookie);
	buf_init(&value);
	buf_clear(&s->cookie);
	s->has_sent_cookie = cookie_for_request(request->cookie, &cookie);
	if (s->has_sent_cookie) {
		buf_add_span(&s->cookie, buf_span(&cookie));
	}
	if (!cookie.failed && sync_request_print(buf_span(&cookie), &value) == CX_OK) {
		char oid[] = LDAP_CONTROL_SYNC;

		control = (LDAPControl){ oid, { value.len, value.data }, 1 };
		rc = ldap_search_ext(ld, request->base, request->scope, request->filter,
		    request->attributes, 0, controls, NULL, NULL, LDAP_NO_LIMIT,
		    &s->msgid);
	}
	buf_release(&cookie);
	buf_release(&value);
	s->batch.is_refresh = true;
	return rc;
}

void syncrepl_abandon(struct syncrepl *s, LDAP *ld)
{
	if (s->msgid >= 0 && ld != NULL) {
		ldap_abandon_ext(ld, s->msgid, NULL, NULL);
	}
	s->msgid = -1;
	batch_clear(&s->batch);
}

enum status syncrepl_seal(struct syncrepl *s, bool has_contact)
{
	s->batch.has_contact = has_contact;
	s->batch.has_cookie = true;
	buf_clear(&s->batch.cookie);
	buf_add_span(&s->batch.cookie, buf_span(&s->cookie));
	return s->cookie.failed || s->batch.cookie.failed ? CX_ENOMEM : CX_OK;
}

enum status syncrepl_take(struct source *source, struct batch *batch,
    const struct entry *entry, const uint8_t uuid[16], struct uuid_set *refused)
{
	bool is_ours;
	enum status status = source_map(source, batch, uuid, entry, &is_ours);

	if (status != CX_OK) {
		return status;
	}
	if (is_ours) {
		uuid_set_remove(refused, uuid);
		return CX_OK;
	}
	return uuid_set_has(refused, uuid) ? CX_OK : uuid_set_add(refused, uuid);
}

enum status syncrepl_take_entry(struct source *source, struct batch *batch,
    const struct ldap_entry *le, const uint8_t uuid[16], struct uuid_set *refused)
{
	ranges_forget(source->ranges, batch, uuid);
	if (le->is_too_large) {
		source_skipped(source, le->entry.dn, ldap_entry_too_large());
		return batch_unusable(batch, uuid, le->entry.dn, ldap_entry_too_large());
	}
	if (le->is_partial) {
		/* Half of an entry would take addresses away: what is stored stays until then. */
		enum status status = batch_present(batch, uuid);

		return status == CX_OK
			   ? ranges_add(source->ranges, batch, uuid, le->entry.dn)
			   : status;
	}
	return syncrepl_take(source, batch, &le->entry, uuid, refused);
}

static struct span control_value(LDAPControl **controls, const char *oid, bool *found)
{
	LDAPControl *c = controls ? ldap_control_find(oid, controls, NULL) : NULL;

	*found = c != NULL;
	return c ? (struct span){ c->ldctl_value.bv_val, c->ldctl_value.bv_len }
		 : (struct span){ NULL, 0 };
}

/* A cookie with a change or alone, in the persist stage; in the refresh they say nothing yet. */
static bool merge_cookie(struct syncrepl *s, bool has_cookie, struct span cookie)
{
	if (!s->is_refreshed || !has_cookie) {
		return true;
	}
	cookie_merge(&s->cookie, cookie);
	return !s->cookie.failed;
}

/* An entry that the server had no reason to send, were our cookie known to it (T3). */
static void note_old_entry(struct syncrepl *s)
{
	const struct attribute *csn;

	if (s->is_refreshed || !s->has_sent_cookie) {
		return;
	}
	csn = entry_find(&s->entry.entry, "entryCSN");
	if (csn != NULL && csn->count == 1 &&
	    cookie_covers(buf_span(&s->cookie), csn->values[0])) {
		s->has_old_entry = true;
	}
}

static enum status take_state(struct syncrepl *s, LDAP *ld, LDAPMessage *message,
    const struct sync_state *state)
{
	enum status status;

	switch (state->state) {
	case SYNC_ENTRY_PRESENT:
		return s->is_refreshed ? CX_OK : batch_present(&s->batch, state->uuid);
	case SYNC_ENTRY_DELETE:
		ranges_forget(s->source->ranges, &s->batch, state->uuid);
		uuid_set_remove(s->refused, state->uuid);
		return batch_remove(&s->batch, state->uuid);
	case SYNC_ENTRY_ADD:
	case SYNC_ENTRY_MODIFY:
		status = ldap_entry_load(&s->entry, ld, message);
		if (status != CX_OK) {
			return status;
		}
		note_old_entry(s);
		return syncrepl_take_entry(s->source, &s->batch, &s->entry, state->uuid,
		    s->refused);
	}
	return CX_EINVAL;
}

static enum syncrepl_event on_entry(struct syncrepl *s, LDAP *ld, LDAPMessage *message)
{
	LDAPControl **controls = NULL;
	struct sync_state state;
	struct span value;
	enum status status;
	bool found;

	if (ldap_get_entry_controls(ld, message, &controls) != LDAP_SUCCESS) {
		return broken(s, "the controls of an entry do not decode");
	}
	value = control_value(controls, LDAP_CONTROL_SYNC_STATE, &found);
	status = found ? sync_state_parse(value, &state) : CX_EINVAL;
	if (status == CX_OK) {
		status = take_state(s, ld, message, &state);
	}
	if (status == CX_OK && !merge_cookie(s, state.has_cookie, state.cookie)) {
		status = CX_ENOMEM;
	}
	ldap_controls_free(controls);
	if (status != CX_OK) {
		return broken(s, found ? status_text(status)
				       : "an entry came without a sync state control");
	}
	s->entries += !s->is_refreshed;
	return s->is_refreshed ? SYNCREPL_CHANGED : SYNCREPL_NOTHING;
}

/*
 * The end of the refresh. Without a cookie everything not received is gone, whatever
 * phase the server says it was in (T2). With one, a delete phase with entries that
 * cannot have changed, or with a cookie that says nothing or is of another make than ours,
 * means that our cookie was ignored (T3).
 */
static enum syncrepl_event finish_refresh(struct syncrepl *s, bool has_cookie,
    struct span cookie)
{
	enum cookie_kind kind = cookie_kind(cookie);
	enum cookie_kind ours = cookie_kind(buf_span(&s->cookie));
	bool is_useful = kind == COOKIE_CSN || kind == COOKIE_OPAQUE;

	s->batch.is_complete = !s->has_sent_cookie || s->is_present_closed;
	if (!s->batch.is_complete && (s->has_old_entry || (has_cookie && !is_useful) ||
				       (is_useful && kind != ours))) {
		return SYNCREPL_IGNORED;
	}
	if (!is_useful && !s->has_sent_cookie) {
		buf_clear(&s->cookie);
	}
	cookie_replace(&s->cookie, cookie);
	if (s->cookie.failed) {
		return broken(s, status_text(CX_ENOMEM));
	}
	s->is_refreshed = true;
	return SYNCREPL_DONE;
}

static enum syncrepl_event on_id_set(struct syncrepl *s, struct sync_info *info)
{
	bool is_change = false;
	const uint8_t *uuid;

	while (sync_info_next(info, &uuid)) {
		enum status status = CX_OK;

		if (info->are_deleted) {
			ranges_forget(s->source->ranges, &s->batch, uuid);
			uuid_set_remove(s->refused, uuid);
			status = batch_remove(&s->batch, uuid);
			is_change = true;
		} else if (!s->is_refreshed) {
			status = batch_present(&s->batch, uuid);
		}
		if (status != CX_OK) {
			return broken(s, status_text(status));
		}
	}
	if (!merge_cookie(s, info->has_cookie, info->cookie)) {
		return broken(s, status_text(CX_ENOMEM));
	}
	return s->is_refreshed && is_change ? SYNCREPL_CHANGED : SYNCREPL_NOTHING;
}

static enum syncrepl_event on_info(struct syncrepl *s, struct sync_info *info)
{
	switch (info->kind) {
	case SYNC_INFO_NEW_COOKIE:
		if (!merge_cookie(s, info->has_cookie, info->cookie)) {
			return broken(s, status_text(CX_ENOMEM));
		}
		return s->is_refreshed ? SYNCREPL_COOKIE : SYNCREPL_NOTHING;
	case SYNC_INFO_REFRESH_PRESENT:
	case SYNC_INFO_REFRESH_DELETE:
		if (s->is_refreshed) {
			return SYNCREPL_NOTHING;
		}
		if (info->kind == SYNC_INFO_REFRESH_PRESENT) {
			s->is_present_closed = true;
		}
		return info->is_done ? finish_refresh(s, info->has_cookie, info->cookie)
				     : SYNCREPL_NOTHING;
	case SYNC_INFO_ID_SET: return on_id_set(s, info);
	}
	return SYNCREPL_NOTHING;
}

static enum syncrepl_event on_intermediate(struct syncrepl *s, LDAP *ld,
    LDAPMessage *message)
{
	enum syncrepl_event event = SYNCREPL_NOTHING;
	struct berval *data = NULL;
	char *oid = NULL;
	int rc = ldap_parse_intermediate(ld, message, &oid, &data, NULL, 0);

	if (rc != LDAP_SUCCESS) {
		event = broken(s, "an intermediate response does not decode");
	} else if (oid != NULL && strcmp(oid, LDAP_SYNC_INFO) == 0) {
		struct sync_info info;
		enum status status = CX_EINVAL;

		if (data != NULL) {
			status =
			    sync_info_parse((struct span){ data->bv_val, data->bv_len },
				&info);
		}
		event = status == CX_OK
			    ? on_info(s, &info)
			    : broken(s, "a sync info message does not decode");
	}
	ldap_memfree(oid);
	ber_bvfree(data);
	return event;
}

static enum syncrepl_event on_result_done(struct syncrepl *s, struct span value,
    bool found)
{
	struct sync_done done;
	enum syncrepl_event event;

	if (!found || sync_done_parse(value, &done) != CX_OK) {
		return broken(s, "the search ended without a sync done control");
	}
	s->is_present_closed = s->is_present_closed || !done.is_delete_phase;
	event = finish_refresh(s, done.has_cookie, done.cookie);
	s->is_over = true;
	return event;
}

static enum syncrepl_event on_result(struct syncrepl *s, LDAP *ld, LDAPMessage *message)
{
	LDAPControl **controls = NULL;
	enum syncrepl_event event = SYNCREPL_ENDED;
	char *text = NULL;
	struct span value;
	bool found;
	int rc =
	    ldap_parse_result(ld, message, &s->result, NULL, &text, NULL, &controls, 0);

	s->msgid = -1;
	if (rc != LDAP_SUCCESS) {
		return broken(s, "the result of the search does not decode");
	}
	snprintf(s->text, sizeof(s->text), "%s", text ? text : "");
	value = control_value(controls, LDAP_CONTROL_SYNC_DONE, &found);
	if (s->result == LDAP_SUCCESS && !s->is_refreshed) {
		event = on_result_done(s, value, found);
	}
	ldap_memfree(text);
	ldap_controls_free(controls);
	return event;
}

enum syncrepl_event syncrepl_message(struct syncrepl *s, LDAP *ld, LDAPMessage *message)
{
	switch (ldap_msgtype(message)) {
	case LDAP_RES_SEARCH_ENTRY: return on_entry(s, ld, message);
	case LDAP_RES_SEARCH_REFERENCE: s->references++; return SYNCREPL_NOTHING;
	case LDAP_RES_INTERMEDIATE: return on_intermediate(s, ld, message);
	case LDAP_RES_SEARCH_RESULT:
	/* Samba's, when it does not know the critical control: result 12. */
	case LDAP_RES_EXTENDED: return on_result(s, ld, message);
	default: return broken(s, "a message of a kind that belongs to no search");
	}
}
