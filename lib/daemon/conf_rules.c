#include "config.h"

#include "daemon/conf_rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* More listeners than that are a mistake, and the comparison is by pairs. */
#define LISTENERS_MAX 64

struct rules {
	const struct conf *conf;
	const struct reading *reading;
	const char *name;
	struct errbuf *err;
};

static enum status refuse(const struct rules *r, struct place place, const char *key,
    const char *fmt, ...) CX_PRINTF(4, 5);
/* At the line of `key`, or where the place ends if `key` is NULL or not set. */
static enum status refuse(const struct rules *r, struct place place, const char *key,
    const char *fmt, ...)
{
	char text[sizeof(r->err->text)];
	int line = key != NULL ? reading_line(r->reading, place,
				     section_find(place.section, key))
			       : reading_last_line(r->reading, place);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	errbuf_set(r->err, "%s:%d: %s", r->name, line, text);
	return CX_ECONF;
}

static bool is_given(const char *text)
{
	return text[0] != '\0';
}

static enum status check_source(const struct rules *r, const struct conf_directory *d,
    struct place place)
{
	if (is_given(d->uri) && is_given(d->ldif)) {
		return refuse(r, place, "ldif", "directory '%s' has both uri and ldif",
		    d->name);
	}
	if (!is_given(d->uri) && !is_given(d->ldif)) {
		return refuse(r, place, NULL, "directory '%s' has neither uri nor ldif",
		    d->name);
	}
	if (is_given(d->uri) && !is_given(d->base)) {
		return refuse(r, place, NULL, "directory '%s' has a uri, but no base",
		    d->name);
	}
	return CX_OK;
}

static enum status check_credentials(const struct rules *r,
    const struct conf_directory *d, struct place place)
{
	if (is_given(d->bind_dn) && !is_given(d->bind_password_file) &&
	    !is_given(d->sasl_mech)) {
		return refuse(r, place, "bind_dn",
		    "directory '%s': bind_dn needs a bind_password_file", d->name);
	}
	if (is_given(d->bind_password_file) && !is_given(d->bind_dn)) {
		return refuse(r, place, "bind_password_file",
		    "directory '%s': bind_password_file without a bind_dn", d->name);
	}
	if (is_given(d->tls_cert_file) != is_given(d->tls_key_file)) {
		return refuse(r, place,
		    is_given(d->tls_cert_file) ? "tls_cert_file" : "tls_key_file",
		    "directory '%s': tls_cert_file and tls_key_file go together",
		    d->name);
	}
	if (d->starttls && strstr(d->uri, "ldaps://") != NULL) {
		return refuse(r, place, "starttls",
		    "directory '%s': starttls is for ldap://, ldaps:// has TLS from the start",
		    d->name);
	}
	return CX_OK;
}

/* What only a server is asked by: with a file, a filter that does nothing deceives. */
static enum status check_file(const struct rules *r, const struct conf_directory *d,
    struct place place)
{
	static const char *const keys[] = { "scope", "filter", "bind_dn",
		"bind_password_file", "sasl_mech", "starttls", "tls_ca_file",
		"tls_cert_file", "tls_key_file", "tls_verify", "timeout", "sync",
		"poll_interval", "full_interval" };

	if (!is_given(d->ldif)) {
		return CX_OK;
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (reading_is_set(r->reading, place,
			section_find(place.section, keys[i]))) {
			return refuse(r, place, keys[i],
			    "directory '%s': %s is for servers (uri), and does nothing "
			    "with ldif",
			    d->name, keys[i]);
		}
	}
	if (is_given(d->base) && d->domains[0] == NULL) {
		return refuse(r, place, "base",
		    "directory '%s': with ldif, base does nothing without domains",
		    d->name);
	}
	return CX_OK;
}

static enum status check_directory(const struct rules *r, size_t n)
{
	const struct conf_directory *d = &r->conf->directories[n];
	struct place place = { .section = SECTION_DIRECTORY, .directory = n };
	const struct option *provides = section_find(SECTION_DIRECTORY, "provides");
	enum status status = check_source(r, d, place);

	if (status == CX_OK) {
		status = check_credentials(r, d, place);
	}
	if (status == CX_OK) {
		status = check_file(r, d, place);
	}
	if (status == CX_OK && reading_is_set(r->reading, place, provides) &&
	    reading_count(r->reading, place, provides) == 0) {
		return refuse(r, place, "provides", "directory '%s' provides nothing",
		    d->name);
	}
	return status;
}

static enum status check_directories(const struct rules *r)
{
	struct place top = { .section = SECTION_TOP };
	enum status status = CX_OK;

	if (r->conf->directory_count == 0) {
		return refuse(r, top, NULL, "there is no directory section");
	}
	for (size_t i = 0; i < r->conf->directory_count && status == CX_OK; i++) {
		status = check_directory(r, i);
	}
	return status;
}

/* A place where somebody listens, and where the configuration says so. */
struct claim {
	const char *spec;
	struct place place;
	const char *key;
};

struct claims {
	struct claim rows[LISTENERS_MAX];
	size_t count;
};

static bool is_any_port(const char *spec)
{
	size_t len = strlen(spec);

	return strncmp(spec, "inet:", 5) == 0 && strcmp(spec + len - 2, ":0") == 0;
}

static enum status claim(const struct rules *r, struct claims *claims, const char *spec,
    enum section_id section, const char *key)
{
	struct claim new = { spec, { .section = section }, key };

	if (!is_given(spec) || is_any_port(spec)) {
		return CX_OK;
	}
	for (size_t i = 0; i < claims->count; i++) {
		const struct claim *old = &claims->rows[i];

		if (strcmp(old->spec, spec) == 0) {
			return refuse(r, new.place, key, "%s '%s' is also %s of %s",
			    key, spec, old->key,
			    conf_sections[old->place.section].name);
		}
	}
	if (claims->count == LISTENERS_MAX) {
		return refuse(r, new.place, key, "more than %d listeners",
		    LISTENERS_MAX);
	}
	claims->rows[claims->count++] = new;
	return CX_OK;
}

static enum status claim_list(const struct rules *r, struct claims *claims,
    const char *const *specs, const char *key)
{
	enum status status = CX_OK;

	for (; *specs != NULL && status == CX_OK; specs++) {
		status = claim(r, claims, *specs, SECTION_POLICYD, key);
	}
	return status;
}

static enum status check_listeners(const struct rules *r)
{
	const struct conf *conf = r->conf;
	struct claims claims = { .count = 0 };
	const struct {
		const char *spec;
		enum section_id section;
		const char *key;
	} single[] = {
		{ conf->syncd.control, SECTION_SYNCD, "control" },
		{ conf->syncd.metrics_listen, SECTION_SYNCD, "metrics_listen" },
		{ conf->milter.listen, SECTION_MILTER, "listen" },
		{ conf->milter.metrics_listen, SECTION_MILTER, "metrics_listen" },
		{ conf->policyd.metrics_listen, SECTION_POLICYD, "metrics_listen" },
	};
	enum status status = CX_OK;

	if (conf->policyd.policy_listen[0] == NULL &&
	    conf->policyd.map_listen[0] == NULL) {
		return refuse(r, (struct place){ .section = SECTION_POLICYD },
		    "policy_listen", "policy_listen and map_listen are both empty");
	}
	for (size_t i = 0; i < sizeof(single) / sizeof(single[0]) && status == CX_OK;
	     i++) {
		status =
		    claim(r, &claims, single[i].spec, single[i].section, single[i].key);
	}
	if (status == CX_OK) {
		status = claim_list(r, &claims, conf->policyd.policy_listen,
		    "policy_listen");
	}
	if (status == CX_OK) {
		status = claim_list(r, &claims, conf->policyd.map_listen, "map_listen");
	}
	return status;
}

static enum status check_settings(const struct rules *r)
{
	const char *const *server = r->conf->settings.local_servers;
	size_t count = 0;

	while (server[count] != NULL) {
		count++;
	}
	if (count > SETTINGS_LOCAL_SERVERS_MAX) {
		return refuse(r, (struct place){ .section = SECTION_TOP },
		    "local_servers", "more than %d local_servers",
		    SETTINGS_LOCAL_SERVERS_MAX);
	}
	if (r->conf->srs.enable && !is_given(r->conf->srs.domain)) {
		return refuse(r, (struct place){ .section = SECTION_SRS }, "enable",
		    "srs needs a domain to be enabled");
	}
	return CX_OK;
}

enum status conf_rules_check(const struct conf *conf, const struct reading *reading,
    const char *name, struct errbuf *err)
{
	struct rules r = { conf, reading, name, err };
	enum status status = check_directories(&r);

	if (status == CX_OK) {
		status = check_listeners(&r);
	}
	if (status == CX_OK) {
		status = check_settings(&r);
	}
	return status;
}
