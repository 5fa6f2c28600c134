#ifndef CX_CONF_H
#define CX_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/log.h"
#include "decide/view.h"
#include "value/errbuf.h"

/*
 * coexist.conf (SPEC section 11), read by every program and checked whole by each.
 * What comes out is immutable and counted: conf_ref() for each holder, conf_unref() when
 * done. Times are milliseconds unless the name says otherwise. Strings are never NULL: ""
 * where nothing is set. Paths are absolute: relative ones start at the file's folder.
 *
 * Behind it: conf_options.c has every key as a row, conf_check.c and conf_value.c judge values,
 * conf_text.c and conf_read.c (the only one that knows libconfuse) read the text,
 * conf_rules.c judges keys together.
 */
#define CONF_DEFAULT_PATH SYSCONFDIR "/coexist/coexist.conf"

enum sync_mode {
	SYNC_AUTO,
	SYNC_PERSIST,
	SYNC_POLL,
};

/* Roles of attributes that a directory section may rename ("attributes"). */
enum attribute_role {
	ROLE_MAIL,
	ROLE_PROXY_ADDRESS,
	ROLE_TARGET_ADDRESS,
	ROLE_ALT_RECIPIENT,
	ROLE_FORWARDING_ADDRESS,
	ROLE_DELIVER_AND_REDIRECT,
	ROLE_HIDE,
	ROLE_HOME_SERVER,
	ROLE_LOGIN,
	ROLE_MEMBER,
	ROLE_MEMBER_ADDRESS,
	ROLE_RELAY_ALLOWED,
	ROLE_REQUIRE_AUTH,
	ROLE_COUNT
};
/* "mail", "proxy_address", ...: the key in the configuration. */
const char *attribute_role_text(enum attribute_role);

struct conf_directory {
	const char *name;
	const char *ldif; /* a path; "" where `uri` is set */
	const char *uri;  /* blank-separated list */
	const char *base;
	const char *scope; /* "sub", "one", "base" */
	const char *filter; /* "": from the mapping */
	const char *mapping; /* "coexist", "exchange", "laser" */
	const char *attributes[ROLE_COUNT]; /* "": from the mapping */
	bool provides_recipients;
	bool provides_domains;
	bool provides_connectors;
	const char *const *domains; /* NULL-terminated, canonical; empty: any */
	const char *bind_dn;
	const char *bind_password_file;
	const char *sasl_mech;
	bool starttls;
	const char *tls_ca_file;
	const char *tls_cert_file;
	const char *tls_key_file;
	bool tls_verify;
	int64_t timeout_ms;
	enum sync_mode sync;
	int64_t poll_interval_ms;
	int64_t full_interval_ms; /* 0: by the method, see conf_full_interval_ms() */
	unsigned max_delete_percent;
};

struct conf_syncd {
	const char *control; /* listener */
	const char *user;
	const char *metrics_listen;
};

struct conf_milter {
	const char *listen;
	const char *user;
	const char *metrics_listen;
	bool enforce;
};

struct conf_policyd {
	const char *const *policy_listen; /* NULL-terminated */
	const char *const *map_listen;
	const char *user;
	const char *metrics_listen;
	unsigned workers; /* 0: one for each processor, at least 2, at most 8 */
};

struct conf_srs {
	bool enable;
	const char *domain;
	const char *const *secret_files;
	int64_t max_age_ms;
};

struct conf {
	const char *path;
	const char *replica; /* directory */
	const char *const *secret_files;
	bool has_secret_files; /* the file names them; else that is the default */
	const char *user; /* each section's `user` where it names none of its own */
	struct settings settings;
	const struct conf_directory *directories; /* in order of precedence; at least one */
	size_t directory_count;
	struct conf_syncd syncd;
	struct conf_milter milter;
	struct conf_policyd policyd;
	struct conf_srs srs;
	enum log_level log_level;
};

/*
 * CX_OK; CX_ECONF with "file:line: what is wrong" (an unknown key also names the nearest
 * known one; a scalar given twice, a directory section twice, a bad listener, time or
 * domain are wrong too; a file with no directory is). No file is opened but `path`.
 */
enum status conf_load(const char *path, struct conf **out, struct errbuf *);
/*
 * The same for a text in memory, which is changed: `name` is what messages call it, `path`
 * (absolute) where it would lie.
 */
enum status conf_parse(const char *name, const char *path, char *text, size_t len,
    struct conf **out, struct errbuf *);
struct conf *conf_ref(struct conf *);
void conf_unref(struct conf *); /* NULL is fine; any thread */

/* `full_interval`, or where it is not set: 15m for a server that is polled, 24h for one that persists. */
int64_t conf_full_interval_ms(const struct conf_directory *, bool is_polled);

/* "500ms", "10s", "15m", "1h", "7d"; a bare number is seconds. CX_EINVAL. */
enum status conf_parse_time(const char *text, int64_t *out_ms);

#endif
