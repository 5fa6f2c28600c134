#include "config.h"

#include <string.h>

#include "fuzz.h"
#include "value/address_space.h"
#include "value/cidr.h"
#include "value/dn.h"
#include "value/imcea.h"
#include "value/utf8.h"

/*
 * All that reads addresses. An input is a text, or a text and an address space with
 * a line end between them.
 */

static bool is_same(const struct address *a, const struct address *b)
{
	struct key key_a, key_b;

	address_key(a, &key_a);
	address_key(b, &key_b);
	return key_equal(&key_a, &key_b);
}

static void check_folded(const struct address *address)
{
	struct buf again;

	FUZZ_CHECK(address->local_len > 0);
	FUZZ_CHECK(strlen(address->domain) == address->domain_len);
	if (strcmp(address->type, "x400") == 0) {
		return;
	}
	buf_init(&again);
	FUZZ_CHECK(utf8_fold((struct span){ address->folded, address->folded_len },
		       &again) == CX_OK);
	FUZZ_CHECK(span_equal(buf_span(&again),
	    (struct span){ address->folded, address->folded_len }));
	buf_release(&again);
}

/* Printing fits the limit, and reading it again gives the same address. */
static void check_printed(const struct address *address)
{
	char memory[ADDRESS_PRINT_MAX];
	struct address again;
	struct buf text;

	buf_init_fixed(&text, memory, sizeof(memory));
	address_print(address, &text);
	FUZZ_CHECK(!text.failed);
	if (!address_is_smtp(address)) {
		FUZZ_CHECK(address_parse_typed(buf_span(&text), &again) == CX_OK);
		FUZZ_CHECK(is_same(address, &again));
	} else if (address->domain_len > 0 &&
	    memchr(address->local, '\t', address->local_len) == NULL) {
		/* smtpd makes a blank of a tab; without a domain an "@" would begin one. */
		FUZZ_CHECK(address_parse_path(buf_span(&text), &again) == CX_OK);
		FUZZ_CHECK(is_same(address, &again));
	}
}

static void check_bases(const struct address *address)
{
	size_t len = address->folded_len, shorter = len;

	while (address_next_base(address, "+-=", &shorter)) {
		struct span extension;

		FUZZ_CHECK(address_extension(address, shorter, &extension) == CX_OK);
		FUZZ_CHECK(shorter > 0 && shorter < len);
		FUZZ_CHECK(extension.len > 0 && extension.len < address->local_len);
		len = shorter;
	}
}

static void check_imcea(const struct address *address)
{
	struct address inner, outer, again;

	if (imcea_decode(address, &inner) == CX_OK) {
		check_folded(&inner);
	}
	if (imcea_encode(address, SPAN("acme.example"), &outer) == CX_OK) {
		FUZZ_CHECK(imcea_decode(&outer, &again) == CX_OK);
		FUZZ_CHECK(is_same(address, &again));
	}
}

static void check_space(const struct address *address, struct span text)
{
	struct address_space space;
	struct key key;
	enum status status = address_space_parse(text, &space);
	bool matches = address_space_matches(text, address);

	if (status != CX_OK) {
		/* Long names of X.400 attributes make a pattern without a shape. */
		FUZZ_CHECK(!matches || status == CX_ETOOLONG);
		return;
	}
	status = address_space_probe(key_span(&space.shape), address, &key);
	FUZZ_CHECK(status == CX_OK || status == CX_NOTFOUND);
	FUZZ_CHECK(matches == (status == CX_OK && key_equal(&key, &space.pattern)));
	/* A text that comes from elsewhere may be no shape, but does no harm. */
	(void)address_space_probe(text, address, &key);
}

static void check_address(const struct address *address, struct span space)
{
	check_folded(address);
	check_printed(address);
	check_bases(address);
	check_imcea(address);
	check_space(address, space);
}

static size_t count_dots(struct span text)
{
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++) {
		count += text.ptr[i] == '.';
	}
	return count;
}

static void check_domain(struct span text)
{
	char domain[ADDRESS_DOMAIN_MAX + 1], again[ADDRESS_DOMAIN_MAX + 1];

	if (domain_canonical(text, domain) == CX_OK) {
		FUZZ_CHECK(domain_canonical(span_of(domain), again) == CX_OK);
		FUZZ_CHECK(strcmp(domain, again) == 0);
		FUZZ_CHECK(count_dots(span_of(domain)) ==
		    count_dots(text) - (text.ptr[text.len - 1] == '.'));
		if (domain_folded_in_full(span_of(domain), again) == CX_OK) {
			FUZZ_CHECK(domain_canonical(span_of(again), domain) == CX_OK);
			FUZZ_CHECK(strcmp(domain, again) == 0);
		}
	}
}

static void check_others(struct span text)
{
	struct buf out;
	struct cidr cidr;
	struct key key;
	struct ip ip;

	buf_init(&out);
	if (cidr_parse(text, &cidr) == CX_OK) {
		FUZZ_CHECK(cidr.prefix_len <= 128);
		FUZZ_CHECK(cidr_contains(&cidr, &cidr.ip) || cidr.prefix_len < 96);
	}
	(void)ip_parse(text, &ip);
	if (dn_key(text, &key) == CX_OK) {
		FUZZ_CHECK(dn_rdn_value(text, &out) == CX_OK);
	}
	buf_clear(&out);
	buf_add_escaped(&out, text);
	FUZZ_CHECK(utf8_is_valid(buf_span(&out)));
	FUZZ_CHECK(memchr(out.data, '\n', out.len) == NULL);
	buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static enum status (*const parsers[])(struct span, struct address *) = {
		address_parse_path,
		address_parse_internal,
		address_parse_typed,
	};
	struct span text = { (const char *)data, size }, space = text;
	const char *end = size > 0 ? memchr(text.ptr, '\n', size) : NULL;

	if (end != NULL) {
		text.len = (size_t)(end - text.ptr);
		space = (struct span){ end + 1, size - text.len - 1 };
	}
	for (size_t i = 0; i < sizeof(parsers) / sizeof(parsers[0]); i++) {
		struct address address;

		if (parsers[i](text, &address) == CX_OK) {
			check_address(&address, space);
		}
	}
	check_domain(text);
	check_others(text);
	return 0;
}
