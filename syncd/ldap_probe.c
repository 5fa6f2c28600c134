#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/log.h"
#include "syncd/cookie.h"
#include "syncd/ldap_source.h"

/*
 * Every so often contextCSN is read, on the connection that persists. The answer proves that
 * the server works and not only that TCP does; and a server that stays ahead
 * of our cookie has changes that it did not send (ldap-sync.md 5.4).
 */

static int64_t probe_interval(const struct ldap_source *ls)
{
	return ls->source->contact_ms < sync_times.probe ? ls->source->contact_ms
							  : sync_times.probe;
}

void lsrc_probe_begin(struct ldap_source *ls)
{
	static char naming[] = "namingContexts";
	char *attributes[] = { naming, NULL };

	ls->is_probe_late = false;
	buf_clear(&ls->ahead_csns);
	if (ls->suffix == NULL) {
		lsrc_search(ls, "", LDAP_SCOPE_BASE, "(objectClass=*)", attributes,
		    NULL, &ls->root_msgid);
	}
	if (ls->ld != NULL) {
		lsrc_timer_start(ls, TIMER_PROBE, probe_interval(ls));
	}
}

void lsrc_probe_end(struct ldap_source *ls)
{
	ls->root_msgid = ls->probe_msgid = ls->newer_msgid = -1;
	free(ls->suffix);
	ls->suffix = NULL;
}

/* `base` is the entry `suffix` or lies below it; both normalised. */
static bool is_below(const char *base, const char *suffix)
{
	size_t base_len = strlen(base), len = strlen(suffix);
	const char *tail = base_len >= len ? base + (base_len - len) : NULL;

	return tail != NULL && len > 0 && strcasecmp(tail, suffix) == 0 &&
	       (tail == base || tail[-1] == ',');
}

static void consider_suffix(struct ldap_source *ls, const char *base, struct span value)
{
	char *text = strndup(value.len ? value.ptr : "", value.len), *suffix = NULL;

	if (text != NULL &&
	    ldap_dn_normalize(text, LDAP_DN_FORMAT_LDAP, &suffix,
		LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS &&
	    suffix != NULL && is_below(base, suffix) &&
	    (ls->suffix == NULL || strlen(suffix) > strlen(ls->suffix))) {
		char *copy = strdup(suffix);

		if (copy != NULL) {
			free(ls->suffix);
			ls->suffix = copy;
		}
	}
	ldap_memfree(suffix);
	free(text);
}

void lsrc_root_message(struct ldap_source *ls, LDAPMessage *message)
{
	const struct attribute *contexts;
	char *base = NULL;

	if (ldap_msgtype(message) == LDAP_RES_SEARCH_RESULT) {
		ls->root_msgid = -1;
		return;
	}
	if (ldap_msgtype(message) != LDAP_RES_SEARCH_ENTRY ||
	    ldap_entry_load(&ls->entry, ls->ld, message) != CX_OK ||
	    ldap_dn_normalize(ls->source->conf->base, LDAP_DN_FORMAT_LDAP, &base,
		LDAP_DN_FORMAT_LDAPV3) != LDAP_SUCCESS) {
		return;
	}
	contexts = entry_find(&ls->entry.entry, "namingContexts");
	for (size_t i = 0; base != NULL && contexts != NULL && i < contexts->count;
	     i++) {
		consider_suffix(ls, base, contexts->values[i]);
	}
	ldap_memfree(base);
}

void lsrc_on_probe_timer(struct ldap_source *ls)
{
	static char csn[] = "contextCSN";
	char *attributes[] = { csn, NULL };

	if (ls->probe_msgid >= 0) {
		if (ls->is_probe_late) {
			lsrc_lost(ls, "the server does not answer");
			return;
		}
		ls->is_probe_late = true;
	} else {
		ls->is_probe_late = false;
		buf_clear(&ls->probe_csns);
		if (!lsrc_search(ls, ls->suffix ? ls->suffix : ls->source->conf->base,
			LDAP_SCOPE_BASE, "(objectClass=*)", attributes, NULL,
			&ls->probe_msgid)) {
			return;
		}
	}
	lsrc_timer_start(ls, TIMER_PROBE, probe_interval(ls));
}

/* What the server had one probe ago should be with us by now. */
static void compare(struct ldap_source *ls)
{
	struct span ours = buf_span(&ls->session->cookie);

	if (ls->ahead_csns.len > 0 &&
	    !cookie_covers_all(ours, buf_span(&ls->ahead_csns)) &&
	    cookie_kind(ours) == COOKIE_CSN) {
		lsrc_refresh_forced(ls, "the server has changes that it did not send");
	}
	buf_clear(&ls->ahead_csns);
	if (ls->probe_csns.len > 0 &&
	    !cookie_covers_all(ours, buf_span(&ls->probe_csns))) {
		buf_add_span(&ls->ahead_csns, buf_span(&ls->probe_csns));
	}
}

static void on_answer(struct ldap_source *ls, LDAPMessage *message)
{
	char text[256];
	int result = lsrc_result_of(ls, message, text);

	ls->probe_msgid = -1;
	if (result == LDAP_SUCCESS) {
		if (lsrc_now_ms() - ls->connected_ms >= sync_times.stable) {
			ls->failures = 0;
		}
		if (lsrc_is_persisting(ls) && lsrc_session_flush(ls, true)) {
			compare(ls);
		}
	} else if (ls->suffix != NULL) {
		/* Not for us to read; our own base is, or there would be no refresh. */
		free(ls->suffix);
		ls->suffix = NULL;
	} else {
		lsrc_failed(ls, text);
	}
}

void lsrc_probe_message(struct ldap_source *ls, LDAPMessage *message)
{
	const struct attribute *csns;

	if (ldap_msgtype(message) == LDAP_RES_SEARCH_RESULT) {
		on_answer(ls, message);
		return;
	}
	if (ldap_msgtype(message) != LDAP_RES_SEARCH_ENTRY ||
	    ldap_entry_load(&ls->entry, ls->ld, message) != CX_OK) {
		return;
	}
	csns = entry_find(&ls->entry.entry, "contextCSN");
	for (size_t i = 0; csns != NULL && i < csns->count; i++) {
		cookie_add_csn(&ls->probe_csns, csns->values[i]);
	}
}
