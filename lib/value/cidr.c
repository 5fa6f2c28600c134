#include "config.h"

#include "value/cidr.h"

#include <arpa/inet.h>
#include <string.h>

bool ip_is_ipv4(const struct ip *ip)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	return memcmp(ip->bytes, mapped, sizeof(mapped)) == 0;
}

/* Also says whether the text was in the dotted form of IPv4. */
static enum status parse(struct span text, struct ip *out, bool *is_dotted)
{
	char copy[INET6_ADDRSTRLEN];
	bool must_be_ipv6;

	if (text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']') {
		text = (struct span){ text.ptr + 1, text.len - 2 };
	}
	must_be_ipv6 = span_starts_with_case(text, SPAN("ipv6:"));
	if (must_be_ipv6) {
		text = (struct span){ text.ptr + 5, text.len - 5 };
	}
	if (text.len == 0 || text.len >= sizeof(copy) ||
	    memchr(text.ptr, '\0', text.len) != NULL) {
		return CX_EINVAL;
	}
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	*is_dotted = strchr(copy, ':') == NULL;
	if (*is_dotted) {
		memset(out->bytes, 0, 10);
		memset(out->bytes + 10, 0xff, 2);
		return !must_be_ipv6 && inet_pton(AF_INET, copy, out->bytes + 12) == 1
		    ? CX_OK
		    : CX_EINVAL;
	}
	return inet_pton(AF_INET6, copy, out->bytes) == 1 ? CX_OK : CX_EINVAL;
}

enum status ip_parse(struct span text, struct ip *out)
{
	bool is_dotted;

	return parse(text, out, &is_dotted);
}

/* One to three digits without leading zeros, at most `max`. */
static enum status parse_prefix_len(struct span text, unsigned max, unsigned *out)
{
	*out = 0;
	if (text.len == 0 || text.len > 3 || (text.len > 1 && text.ptr[0] == '0')) {
		return CX_EINVAL;
	}
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9') {
			return CX_EINVAL;
		}
		*out = *out * 10 + (unsigned)(text.ptr[i] - '0');
	}
	return *out <= max ? CX_OK : CX_EINVAL;
}

enum status cidr_parse(struct span text, struct cidr *out)
{
	const char *slash;
	struct span address;
	struct ip masked;
	unsigned prefix_len = 128;
	bool is_dotted;

	out->is_negated = text.len > 0 && text.ptr[0] == '!';
	if (out->is_negated) {
		text = (struct span){ text.ptr + 1, text.len - 1 };
	}
	slash = text.len > 0 ? memchr(text.ptr, '/', text.len) : NULL;
	address = text;
	if (slash != NULL) {
		address.len = (size_t)(slash - text.ptr);
	}
	if (parse(address, &out->ip, &is_dotted) != CX_OK) {
		return CX_EINVAL;
	}
	if (slash != NULL) {
		struct span digits = { slash + 1, text.len - address.len - 1 };

		if (parse_prefix_len(digits, is_dotted ? 32 : 128, &prefix_len) != CX_OK) {
			return CX_EINVAL;
		}
		prefix_len += is_dotted ? IPV4_OFFSET_BITS : 0;
	}
	out->prefix_len = (uint8_t)prefix_len;
	masked = ip_mask(&out->ip, prefix_len);
	return memcmp(&masked, &out->ip, sizeof(masked)) == 0 ? CX_OK : CX_EINVAL;
}

bool cidr_contains(const struct cidr *cidr, const struct ip *ip)
{
	struct ip masked;

	if (cidr->prefix_len < IPV4_OFFSET_BITS && ip_is_ipv4(ip)) {
		return false;
	}
	masked = ip_mask(ip, cidr->prefix_len);
	return memcmp(&masked, &cidr->ip, sizeof(masked)) == 0;
}

struct ip ip_mask(const struct ip *ip, unsigned prefix_len)
{
	struct ip masked = { { 0 } };
	unsigned whole = prefix_len / 8;

	if (prefix_len >= 128) {
		return *ip;
	}
	memcpy(masked.bytes, ip->bytes, whole);
	masked.bytes[whole] = (uint8_t)(ip->bytes[whole] & (0xff00 >> (prefix_len % 8)));
	return masked;
}
