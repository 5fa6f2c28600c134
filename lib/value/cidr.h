#ifndef CX_CIDR_H
#define CX_CIDR_H

#include <stdbool.h>
#include <stdint.h>

#include "value/span.h"
#include "value/status.h"

/* IP addresses and blocks. Pure functions, any thread. */

/* IPv4 is kept IPv4-mapped (::ffff:a.b.c.d), so that one order holds for both. */
#define IPV4_OFFSET_BITS 96 /* where the IPv4 part of a mapped address begins */

struct ip {
	uint8_t bytes[16];
};

struct cidr {
	struct ip ip;	    /* host bits are zero */
	uint8_t prefix_len; /* of 128: IPv4 /24 is 120 */
	bool is_negated;    /* written with a leading "!" */
};

/*
 * "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1" (the same as 192.0.2.1), with
 * or without the milter's "IPv6:" and brackets. CX_EINVAL else: no leading
 * zeros, no scope, no host names ("unknown").
 */
enum status ip_parse(struct span text, struct ip *out);

/*
 * An address or a block "192.0.2.0/24", "2001:db8::/32", "[2001:db8::]/32",
 * optionally "!" in front. CX_EINVAL: malformed, a prefix too long, host bits
 * that are not zero (Postfix refuses these too).
 */
enum status cidr_parse(struct span text, struct cidr *out);

/*
 * An IPv6 block shorter than /96 holds no IPv4 address: "::/0" is all of IPv6,
 * "0.0.0.0/0" all of IPv4. Who looks blocks up by ip_mask() must do the same:
 * for an IPv4 address, prefix lengths 96 to 128 only.
 */
bool cidr_contains(const struct cidr *, const struct ip *);
/* Whether it is IPv4 (or IPv4-mapped, which is the same). */
bool ip_is_ipv4(const struct ip *);
/* The address with all bits after `prefix_len` (of 128) zero. */
struct ip ip_mask(const struct ip *, unsigned prefix_len);

#endif
