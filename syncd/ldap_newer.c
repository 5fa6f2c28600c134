#include "config.h"

#include "daemon/log.h"
#include "syncd/cookie.h"
#include "syncd/ldap_source.h"

/*
 * A slapd that was killed before it wrote its contextCSN starts with an old one. To a client that is
 * just as old it says that nothing has changed, though it holds entries that are newer
 * (ldap-sync.md T10), and contextCSN cannot tell. So after an incremental refresh, once for
 * each connection, it is asked for entries that are newer than our cookie: from an index, and in
 * general at most one, that of the last change itself. Those that the session does not send until the
 * next probe are missing here.
 */

/* More need not be seen: one will do. */
#define NEWER_MAX 20

static bool print_filter(const struct ldap_source *ls, struct buf *out)
{
	struct span newest;

	if (!cookie_newest(buf_span(&ls->session->cookie), &newest)) {
		return false;
	}
	buf_add_text(out, "(&(entryCSN>=");
	buf_add_span(out, newest);
	buf_add_char(out, ')');
	buf_add_text(out, ls->filter);
	buf_add_char(out, ')');
	return !out->failed;
}

void lsrc_newer_begin(struct ldap_source *ls)
{
	static char csn[] = "entryCSN";
	char *attributes[] = { csn, NULL };
	struct buf filter;
	int rc;

	buf_init(&filter);
	if (print_filter(ls, &filter)) {
		rc = ldap_search_ext(ls->ld, ls->source->conf->base, ls->scope,
		    filter.data, attributes, 0, NULL, NULL, NULL, NEWER_MAX,
		    &ls->newer_msgid);
		if (rc != LDAP_SUCCESS) {
			ls->newer_msgid = -1;
			lsrc_lost(ls, ldap_err2string(rc));
		}
	}
	buf_release(&filter);
}

void lsrc_newer_message(struct ldap_source *ls, LDAPMessage *message)
{
	const struct attribute *csn;

	if (ldap_msgtype(message) == LDAP_RES_SEARCH_RESULT) {
		/* Whether it was all of them, or refused, makes no difference. */
		ls->newer_msgid = -1;
		return;
	}
	if (ldap_msgtype(message) != LDAP_RES_SEARCH_ENTRY ||
	    ldap_entry_load(&ls->entry, ls->ld, message) != CX_OK) {
		return;
	}
	csn = entry_find(&ls->entry.entry, "entryCSN");
	if (csn == NULL || csn->count != 1 || ls->session == NULL ||
	    cookie_covers(buf_span(&ls->session->cookie), csn->values[0])) {
		return;
	}
	/* As if a probe had told of it. */
	cookie_add_csn(&ls->ahead_csns, csn->values[0]);
}
