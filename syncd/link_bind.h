#ifndef CX_LINK_BIND_H
#define CX_LINK_BIND_H

#include "syncd/link.h"

/*
 * What runs in the thread of an attempt: from a URI to a bound connection, blocking, each step
 * bounded in time. Private to link.c and its tests.
 */
struct link_settings {
	char *uri;
	char *bind_dn, *bind_password_file, *sasl_mech;
	char *tls_ca_file, *tls_cert_file, *tls_key_file; /* "": none */
	bool has_starttls, has_tls_verify;
	int64_t timeout_ms;
};

/* False: no memory. Released in either case. */
bool link_settings_copy(struct link_settings *, const struct conf_directory *,
    const char *uri);
void link_settings_release(struct link_settings *);

void link_establish(const struct link_settings *, struct link_result *);

#endif
