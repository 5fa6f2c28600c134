#include "config.h"

#include "syncd/link_bind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "syncd/link.h"
#include "syncd/link_secret.h"

/* Where Debian and others keep the authorities they trust; used where none is configured. */
#define SYSTEM_CA_FILE "/etc/ssl/certs/ca-certificates.crt"

/*
 * One step, at most; what libldap does in one (connecting, the TLS handshake) may be
 * half of the time that a lost connection has to be on the next URI.
 */
#define STEP_MAX_MS 5000

/* A peer that went without a word is noticed after 60 + 4 * 15 s (ldap-sync.md, 5.7). */
#define KEEPALIVE_IDLE_S     60
#define KEEPALIVE_PROBES     4
#define KEEPALIVE_INTERVAL_S 15
#define UNACKNOWLEDGED_MS    90000

bool link_settings_copy(struct link_settings *s, const struct conf_directory *conf,
    const char *uri)
{
	s->uri = strdup(uri);
	s->bind_dn = strdup(conf->bind_dn);
	s->bind_password_file = strdup(conf->bind_password_file);
	s->sasl_mech = strdup(conf->sasl_mech);
	s->tls_ca_file = strdup(conf->tls_ca_file);
	s->tls_cert_file = strdup(conf->tls_cert_file);
	s->tls_key_file = strdup(conf->tls_key_file);
	s->has_starttls = conf->starttls;
	s->has_tls_verify = conf->tls_verify;
	s->timeout_ms = conf->timeout_ms > 0 ? conf->timeout_ms : STEP_MAX_MS;
	return s->uri && s->bind_dn && s->bind_password_file && s->sasl_mech &&
	       s->tls_ca_file && s->tls_cert_file && s->tls_key_file;
}

void link_settings_release(struct link_settings *s)
{
	free(s->uri);
	free(s->bind_dn);
	free(s->bind_password_file);
	free(s->sasl_mech);
	free(s->tls_ca_file);
	free(s->tls_cert_file);
	free(s->tls_key_file);
	memset(s, 0, sizeof(*s));
}

static bool has_scheme(const char *uri, const char *scheme)
{
	return strncasecmp(uri, scheme, strlen(scheme)) == 0;
}

static bool uses_tls(const struct link_settings *s)
{
	return has_scheme(s->uri, "ldaps://") ||
	       (has_scheme(s->uri, "ldap://") && s->has_starttls);
}

/* Sets result->error from a libldap code, the server's text and what was being done. */
static int failed(struct link_result *result, LDAP *ld, const char *doing, int code)
{
	char *text = NULL;

	if (ld != NULL) {
		ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &text);
	}
	/* What GnuTLS, by way of libldap, says of each certificate that it does not accept. */
	if (text != NULL && strcmp(text, "(unknown error code)") == 0) {
		errbuf_set(&result->error,
		    "the certificate is not accepted: not signed by tls_ca_file, expired, or "
		    "for another host");
	} else if (text != NULL && *text != '\0') {
		errbuf_set(&result->error, "%s: %s (%s)", doing, ldap_err2string(code), text);
	} else {
		errbuf_set(&result->error, "%s: %s", doing, ldap_err2string(code));
	}
	ldap_memfree(text);
	result->code = code;
	return code;
}

#define READ_AHEAD 65536

struct int_option {
	int option, value;
};

/* Not one byte of a longer message is read: its length comes first. */
static int limit_messages(LDAP *ld)
{
	ber_len_t max = LINK_MESSAGE_MAX;
	Sockbuf *sockbuf = NULL;

	return ldap_get_option(ld, LDAP_OPT_SOCKBUF, &sockbuf) == LDAP_OPT_SUCCESS &&
		       ber_sockbuf_ctrl(sockbuf, LBER_SB_OPT_SET_MAX_INCOMING, &max) == 1
		   ? LDAP_OPT_SUCCESS
		   : LDAP_OPT_ERROR;
}

/*
 * A record of the TLS handshake, or a message, that stops half-way: libldap reads on until
 * there is more, whatever its own limits say. Its descriptor is a blocking one until unblock().
 */
static int on_connected(LDAP *ld, Sockbuf *sockbuf, LDAPURLDesc *url,
    struct sockaddr *address, struct ldap_conncb *callback)
{
	struct timeval *limit = NULL;
	int fd = -1;

	(void)url;
	(void)address;
	(void)callback;
	if (ldap_get_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &limit) == LDAP_OPT_SUCCESS &&
	    limit != NULL && ber_sockbuf_ctrl(sockbuf, LBER_SB_OPT_GET_FD, &fd) == 1) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, limit, sizeof(*limit));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, limit, sizeof(*limit));
	}
	ldap_memfree(limit);
	return 0;
}

static void on_disconnected(LDAP *ld, Sockbuf *sockbuf, struct ldap_conncb *callback)
{
	(void)ld;
	(void)sockbuf;
	(void)callback;
}

static struct ldap_conncb connection_watch = { on_connected, on_disconnected, NULL };

static int set_limits(LDAP *ld, const struct link_settings *s)
{
	static const struct int_option options[] = {
		{ LDAP_OPT_PROTOCOL_VERSION, LDAP_VERSION3 },
		{ LDAP_OPT_DEREF, LDAP_DEREF_NEVER },
		{ LDAP_OPT_X_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S },
		{ LDAP_OPT_X_KEEPALIVE_PROBES, KEEPALIVE_PROBES },
		{ LDAP_OPT_X_KEEPALIVE_INTERVAL, KEEPALIVE_INTERVAL_S },
	};
	int64_t step = s->timeout_ms < STEP_MAX_MS ? s->timeout_ms : STEP_MAX_MS;
	struct timeval network = { step / 1000, step % 1000 * 1000 };
	struct timeval operation = { s->timeout_ms / 1000,
		s->timeout_ms % 1000 * 1000 };
	unsigned unacknowledged = UNACKNOWLEDGED_MS;
	int rc = LDAP_OPT_SUCCESS;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]) && rc == 0; i++) {
		rc = ldap_set_option(ld, options[i].option, &options[i].value);
	}
	/*
	 * A chased referral would bind as nobody somewhere else; a signal would end the
	 * connection; without CONNECT_ASYNC a peer that is silent in the TLS handshake
	 * makes Debian 12's libldap spin (ldap-sync.md, T11).
	 */
	if (rc != LDAP_OPT_SUCCESS ||
	    (rc = ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF)) != 0 ||
	    (rc = ldap_set_option(ld, LDAP_OPT_RESTART, LDAP_OPT_ON)) != 0 ||
	    (rc = ldap_set_option(ld, LDAP_OPT_CONNECT_ASYNC, LDAP_OPT_ON)) != 0 ||
	    (rc = ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &network)) != 0 ||
	    (rc = ldap_set_option(ld, LDAP_OPT_TIMEOUT, &operation)) != 0 ||
	    (rc = ldap_set_option(ld, LDAP_OPT_CONNECT_CB, &connection_watch)) != 0 ||
	    (rc = limit_messages(ld)) != 0) {
		return rc;
	}
	/* Not on every system; keep-alive is there then. */
	ldap_set_option(ld, LDAP_OPT_TCP_USER_TIMEOUT, &unacknowledged);
	return LDAP_OPT_SUCCESS;
}

struct text_option {
	int option;
	const char *value;
	const char *what;
};

/* A file that libldap would only call "unknown error code" later. */
static bool is_readable(struct link_result *result, const struct text_option *option)
{
	if (access(option->value, R_OK) == 0) {
		return true;
	}
	errbuf_set(&result->error, "%s %s: %s", option->what, option->value,
	    strerror(errno));
	result->code = LDAP_LOCAL_ERROR;
	return false;
}

static int set_tls(LDAP *ld, const struct link_settings *s, struct link_result *result)
{
	const char *ca = *s->tls_ca_file                     ? s->tls_ca_file
			 : access(SYSTEM_CA_FILE, R_OK) == 0 ? SYSTEM_CA_FILE
							     : "";
	const struct text_option files[] = {
		{ LDAP_OPT_X_TLS_CACERTFILE, ca, "tls_ca_file" },
		{ LDAP_OPT_X_TLS_CERTFILE, s->tls_cert_file, "tls_cert_file" },
		{ LDAP_OPT_X_TLS_KEYFILE, s->tls_key_file, "tls_key_file" },
	};
	int require = s->has_tls_verify ? LDAP_OPT_X_TLS_DEMAND : LDAP_OPT_X_TLS_NEVER;
	int minimum = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2, client = 0, rc;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (*files[i].value == '\0') {
			continue;
		}
		if (!is_readable(result, &files[i])) {
			return LDAP_LOCAL_ERROR;
		}
		rc = ldap_set_option(ld, files[i].option, files[i].value);
		if (rc != LDAP_OPT_SUCCESS) {
			return failed(result, NULL, files[i].what, LDAP_LOCAL_ERROR);
		}
	}
	/* All of it counts only once a context was made of it. */
	if (ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &require) != 0 ||
	    ldap_set_option(ld, LDAP_OPT_X_TLS_PROTOCOL_MIN, &minimum) != 0 ||
	    ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client) != 0) {
		errbuf_set(&result->error,
		    "TLS cannot be set up with the files given "
		    "(tls_ca_file, tls_cert_file, tls_key_file)");
		return result->code = LDAP_LOCAL_ERROR;
	}
	return LDAP_SUCCESS;
}

/* What libsasl asks for; we have nothing to say but what the mechanism knows itself. */
struct sasl_prompt {
	/* The head of sasl_interact_t (sasl.h), fixed by its ABI. */
	unsigned long id;
	const char *challenge, *prompt, *default_result;
	const void *result;
	unsigned len;
};

static int sasl_interact(LDAP *ld, unsigned flags, void *defaults, void *prompts)
{
	(void)ld;
	(void)flags;
	(void)defaults;
	for (struct sasl_prompt *p = prompts; p->id != 0; p++) {
		p->result = p->default_result ? p->default_result : "";
		p->len = (unsigned)strlen(p->result);
	}
	return LDAP_SUCCESS;
}

static int bind_simple(LDAP *ld, const struct link_settings *s,
    struct link_result *result)
{
	char password[LINK_PASSWORD_MAX + 1] = "";
	struct berval credentials = { 0, password };
	size_t len = 0;
	int rc;

	if (*s->bind_password_file != '\0') {
		if (link_read_password(s->bind_password_file, password, &len,
			&result->error) != CX_OK) {
			return result->code = LDAP_LOCAL_ERROR;
		}
		result->is_clear_text =
		    !uses_tls(s) && !link_is_local(s->uri) && *s->bind_dn != '\0';
	}
	credentials.bv_len = (ber_len_t)len;
	link_wipe_begin(ld);
	rc = ldap_sasl_bind_s(ld, s->bind_dn, LDAP_SASL_SIMPLE, &credentials, NULL,
	    NULL, NULL);
	explicit_bzero(password, sizeof(password));
	link_wipe_end(ld);
	return rc;
}

static int bind_as_told(LDAP *ld, const struct link_settings *s,
    struct link_result *result)
{
	int rc;

	if (*s->sasl_mech == '\0') {
		rc = bind_simple(ld, s, result);
	} else if (strcasecmp(s->sasl_mech, "EXTERNAL") == 0) {
		struct berval nobody = { 0, NULL };
		char empty[] = "";

		nobody.bv_val = empty;
		rc = ldap_sasl_bind_s(ld, NULL, "EXTERNAL", &nobody, NULL, NULL, NULL);
	} else {
		ber_len_t none = 0;

		ldap_set_option(ld, LDAP_OPT_X_SASL_NOCANON, LDAP_OPT_ON);
		if (uses_tls(s)) {
			/* One encryption is enough, and Active Directory refuses two. */
			ldap_set_option(ld, LDAP_OPT_X_SASL_SSF_MAX, &none);
		}
		rc = ldap_sasl_interactive_bind_s(ld, NULL, s->sasl_mech, NULL, NULL,
		    LDAP_SASL_QUIET, sasl_interact, NULL);
	}
	if (rc == LDAP_SUCCESS || result->error.text[0] != '\0') {
		return rc;
	}
	result->is_refused =
	    rc == LDAP_INVALID_CREDENTIALS || rc == LDAP_INSUFFICIENT_ACCESS ||
	    rc == LDAP_AUTH_METHOD_NOT_SUPPORTED || rc == LDAP_INAPPROPRIATE_AUTH ||
	    rc == LDAP_STRONG_AUTH_REQUIRED || rc == LDAP_CONFIDENTIALITY_REQUIRED ||
	    rc == LDAP_INVALID_DN_SYNTAX;
	return failed(result, ld,
	    rc == LDAP_SERVER_DOWN && uses_tls(s)
		? "connect, or check of the certificate"
	    : rc == LDAP_SERVER_DOWN || rc == LDAP_CONNECT_ERROR ? "connect"
								 : "bind",
	    rc);
}

/*
 * Many messages are read in one go; libldap reads each in two, and asks before whether
 * there is one. What is read ahead is given out by ldap_result() before it looks at the socket.
 */
static bool read_ahead(LDAP *ld)
{
	Sockbuf *sockbuf = NULL;
	int size = READ_AHEAD;

	return ldap_get_option(ld, LDAP_OPT_SOCKBUF, &sockbuf) == LDAP_OPT_SUCCESS &&
	       ber_sockbuf_add_io(sockbuf, &ber_sockbuf_io_readahead,
		   LBER_SBIOD_LEVEL_APPLICATION, &size) == 0;
}

/*
 * libldap's asynchronous connect leaves the descriptor blocking: a record that stops half-way
 * would hold the loop for ever.
 */
static int unblock(LDAP *ld, struct link_result *result)
{
	int fd = -1, flags;

	if (ldap_get_option(ld, LDAP_OPT_DESC, &fd) == LDAP_OPT_SUCCESS && fd >= 0 &&
	    (flags = fcntl(fd, F_GETFL)) >= 0 &&
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && read_ahead(ld)) {
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		return LDAP_SUCCESS;
	}
	return failed(result, NULL, "descriptor", LDAP_LOCAL_ERROR);
}

static int establish(LDAP *ld, const struct link_settings *s,
    struct link_result *result)
{
	int rc = set_limits(ld, s);

	if (rc != LDAP_OPT_SUCCESS) {
		return failed(result, NULL, "options", LDAP_LOCAL_ERROR);
	}
	if (uses_tls(s) && (rc = set_tls(ld, s, result)) != LDAP_SUCCESS) {
		return rc;
	}
	if (has_scheme(s->uri, "ldap://") && s->has_starttls &&
	    (rc = ldap_start_tls_s(ld, NULL, NULL)) != LDAP_SUCCESS) {
		return failed(result, ld,
		    rc == LDAP_SERVER_DOWN || rc == LDAP_TIMEOUT ? "connect" : "StartTLS", rc);
	}
	rc = bind_as_told(ld, s, result);
	return rc == LDAP_SUCCESS ? unblock(ld, result) : rc;
}

void link_establish(const struct link_settings *s, struct link_result *result)
{
	LDAP *ld = NULL;
	int rc;

	memset(result, 0, sizeof(*result));
	rc = ldap_initialize(&ld, s->uri);
	if (rc != LDAP_SUCCESS) {
		failed(result, NULL, "uri", rc);
		return;
	}
	rc = establish(ld, s, result);
	result->code = rc;
	if (rc == LDAP_SUCCESS) {
		result->ld = ld;
	} else {
		ldap_unbind_ext(ld, NULL, NULL);
	}
}
