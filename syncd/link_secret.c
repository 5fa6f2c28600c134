#include "config.h"

#include "syncd/link_secret.h"

#include <arpa/inet.h>
#include <lber.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>

#include "daemon/log.h"

/* More than a bind takes; measured with GnuTLS, which leaves parts of records there. */
#define STACK_BYTES 65536

void link_no_core(void)
{
	if (prctl(PR_SET_DUMPABLE, 0) != 0) {
		log_warn("a core dump of this process may hold a password");
	}
}

/* --- A layer above TLS that forgets what went through it --- */

static int on_setup(Sockbuf_IO_Desc *layer, void *argument)
{
	(void)layer;
	(void)argument;
	return 0;
}

static int on_remove(Sockbuf_IO_Desc *layer)
{
	(void)layer;
	return 0;
}

static int on_control(Sockbuf_IO_Desc *layer, int option, void *argument)
{
	return LBER_SBIOD_CTRL_NEXT(layer, option, argument);
}

static ber_slen_t on_read(Sockbuf_IO_Desc *layer, void *out, ber_len_t size)
{
	return LBER_SBIOD_READ_NEXT(layer, out, size);
}

/* `bytes` is libldap's own buffer, on the heap; what was sent is not looked at again. */
static ber_slen_t on_write(Sockbuf_IO_Desc *layer, void *bytes, ber_len_t size)
{
	ber_slen_t sent = LBER_SBIOD_WRITE_NEXT(layer, bytes, size);

	if (sent > 0) {
		explicit_bzero(bytes, (size_t)sent);
	}
	return sent;
}

static int on_close(Sockbuf_IO_Desc *layer)
{
	(void)layer;
	return 0;
}

static Sockbuf_IO forgetful = { on_setup, on_remove, on_control, on_read, on_write,
	on_close };

void link_wipe_begin(LDAP *ld)
{
	Sockbuf *sb = NULL;

	if (ldap_get_option(ld, LDAP_OPT_SOCKBUF, &sb) == LDAP_OPT_SUCCESS && sb) {
		ber_sockbuf_add_io(sb, &forgetful, LBER_SBIOD_LEVEL_APPLICATION, NULL);
	}
}

void link_wipe_end(LDAP *ld)
{
	Sockbuf *sb = NULL;

	if (ldap_get_option(ld, LDAP_OPT_SOCKBUF, &sb) == LDAP_OPT_SUCCESS && sb) {
		/* It is gone already where the connection was lost and closed. */
		ber_sockbuf_remove_io(sb, &forgetful, LBER_SBIOD_LEVEL_APPLICATION);
	}
}

/* On the real stack: that of a sanitizer is another one. */
__attribute__((noinline, no_sanitize("address"))) void link_wipe_stack(void)
{
	char below[STACK_BYTES];

	explicit_bzero(below, sizeof(below));
}

/* --- Where nobody listens --- */

static bool is_loopback(const char *host)
{
	struct in_addr four;
	struct in6_addr six;

	if (strcasecmp(host, "localhost") == 0) {
		return true;
	}
	if (inet_pton(AF_INET, host, &four) == 1) {
		return ntohl(four.s_addr) >> 24 == IN_LOOPBACKNET;
	}
	return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

bool link_is_local(const char *uri)
{
	LDAPURLDesc *url = NULL;
	bool is_local;

	if (ldap_url_parse(uri, &url) != LDAP_URL_SUCCESS) {
		return false;
	}
	is_local = strcasecmp(url->lud_scheme, "ldapi") == 0 || !url->lud_host ||
		   !*url->lud_host || is_loopback(url->lud_host);
	ldap_free_urldesc(url);
	return is_local;
}
