#include "config.h"

#include "ctl/check_here.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#include "value/cidr.h"

static bool is_smtp(struct span transport)
{
	return span_equal_case(transport, SPAN("smtp")) ||
	       span_equal_case(transport, SPAN("relay"));
}

/* "[host]:port", "[host]", "host:port", "host" of Postfix. False: another port than SMTP's. */
static bool split_host(struct span text, struct span *host)
{
	const char *end = text.ptr + text.len;
	const char *colon;
	struct span port;

	if (text.len > 0 && text.ptr[0] == '[') {
		const char *close = memchr(text.ptr, ']', text.len);

		if (close == NULL) {
			return false;
		}
		*host = (struct span){ text.ptr + 1, (size_t)(close - text.ptr - 1) };
		colon = close + 1;
	} else {
		colon = memchr(text.ptr, ':', text.len);
		colon = colon != NULL ? colon : end;
		*host = (struct span){ text.ptr, (size_t)(colon - text.ptr) };
	}
	if (colon == end) {
		return true;
	}
	port = (struct span){ colon + 1, (size_t)(end - colon - 1) };
	return *colon == ':' &&
	       (span_equal(port, SPAN("25")) || span_equal_case(port, SPAN("smtp")));
}

static bool is_own_name(struct span host)
{
	char name[HOST_NAME_MAX + 1];

	return span_equal_case(host, SPAN("localhost")) ||
	       (gethostname(name, sizeof(name)) == 0 &&
		   span_equal_case(host, span_of(name)));
}

static bool is_own_address(struct span host)
{
	struct ifaddrs *list, *at;
	struct ip wanted, own;
	bool is_found = false;

	if (ip_parse(host, &wanted) != CX_OK) {
		return false;
	}
	if (ip_is_ipv4(&wanted) && wanted.bytes[12] == 127) {
		return true;
	}
	if (getifaddrs(&list) != 0) {
		return false;
	}
	for (at = list; at != NULL && !is_found; at = at->ifa_next) {
		char text[INET6_ADDRSTRLEN];
		const void *address = NULL;

		if (at->ifa_addr != NULL && at->ifa_addr->sa_family == AF_INET) {
			address =
			    &((const struct sockaddr_in *)(const void *)at->ifa_addr)
				 ->sin_addr;
		} else if (at->ifa_addr != NULL &&
			   at->ifa_addr->sa_family == AF_INET6) {
			address =
			    &((const struct sockaddr_in6 *)(const void *)at->ifa_addr)
				 ->sin6_addr;
		}
		is_found = address != NULL &&
			   inet_ntop(at->ifa_addr->sa_family, address, text,
			       sizeof(text)) != NULL &&
			   ip_parse(span_of(text), &own) == CX_OK &&
			   memcmp(&own, &wanted, sizeof(own)) == 0;
	}
	freeifaddrs(list);
	return is_found;
}

bool next_hop_is_here(struct span next_hop)
{
	/* Most custom recipients go the same few ways. */
	static char last[256];
	static size_t last_len;
	static bool last_result;
	const char *colon =
	    next_hop.len > 0 ? memchr(next_hop.ptr, ':', next_hop.len) : NULL;
	struct span host;

	if (colon == NULL || next_hop.len > sizeof(last)) {
		return false;
	}
	if (next_hop.len == last_len && memcmp(next_hop.ptr, last, last_len) == 0) {
		return last_result;
	}
	last_len = next_hop.len;
	memcpy(last, next_hop.ptr, last_len);
	last_result =
	    is_smtp((struct span){ next_hop.ptr, (size_t)(colon - next_hop.ptr) }) &&
	    split_host((struct span){ colon + 1,
			   (size_t)(next_hop.ptr + next_hop.len - colon - 1) },
		&host) &&
	    (is_own_name(host) || is_own_address(host));
	return last_result;
}
