#include "config.h"

#include <arpa/inet.h>
#include <string.h>

#include "unit.h"
#include "value/cidr.h"

/* clang-format off */
static const struct {
	const char *text;
	const char *expected; /* as inet_ntop writes the 16 bytes; NULL: CX_EINVAL */
} addresses[] = {
	{ "192.0.2.1",              "::ffff:192.0.2.1" },
	{ "::ffff:192.0.2.1",       "::ffff:192.0.2.1" },
	{ "[192.0.2.1]",            "::ffff:192.0.2.1" },
	{ "2001:db8::1",            "2001:db8::1" },
	{ "2001:DB8:0:0:0:0:0:1",   "2001:db8::1" },
	{ "IPv6:2001:db8::1",       "2001:db8::1" },
	{ "[IPv6:2001:db8::1]",     "2001:db8::1" },
	{ "[::1]",                  "::1" },
	{ "ipv6:::1",               "::1" },
	{ "IPv6:::ffff:192.0.2.1",  "::ffff:192.0.2.1" },
	{ "",                       NULL },
	{ "[]",                     NULL },
	{ "[::1",                   NULL },
	{ "unknown",                NULL },
	{ "localhost",              NULL },
	{ "192.0.2",                NULL },
	{ "192.0.2.01",             NULL },
	{ "192.0.2.256",            NULL },
	{ "192.0.2.1 ",             NULL },
	{ "0300.0.2.1",             NULL },
	{ "3221225985",             NULL },
	{ "fe80::1%eth0",           NULL },
	{ "IPv6:192.0.2.1",         NULL },
	{ "1:2:3:4:5:6:7:8:9",      NULL },
	{ "2001:0db8:0000:0000:0000:0000:0000:0000:0000:0001", NULL },
};

static const struct {
	const char *text;
	const char *expected; /* NULL: CX_EINVAL */
	int prefix_len;
	bool is_negated;
} blocks[] = {
	{ "192.0.2.0/24",        "::ffff:192.0.2.0", 120, false },
	{ "!192.0.2.9",          "::ffff:192.0.2.9", 128, true },
	{ "!192.0.2.8/29",       "::ffff:192.0.2.8", 125, true },
	{ "0.0.0.0/0",           "::ffff:0.0.0.0",    96, false },
	{ "::/0",                "::",                 0, false },
	{ "2001:db8::/32",       "2001:db8::",        32, false },
	{ "[2001:db8::]/32",     "2001:db8::",        32, false },
	{ "::ffff:192.0.2.0/120", "::ffff:192.0.2.0", 120, false },
	{ "2001:db8::1/128",     "2001:db8::1",      128, false },
	{ "192.0.2.1/24",        NULL, 0, false },
	{ "2001:db8::1/127",     NULL, 0, false },
	{ "192.0.2.0/33",        NULL, 0, false },
	{ "2001:db8::/129",      NULL, 0, false },
	{ "192.0.2.0/",          NULL, 0, false },
	{ "192.0.2.0/024",       NULL, 0, false },
	{ "192.0.2.0/+24",       NULL, 0, false },
	{ "192.0.2.0/24/24",     NULL, 0, false },
	{ "192.0.2.0/255.255.255.0", NULL, 0, false },
	{ "192.0.2.0/4294967320", NULL, 0, false },
	{ "[2001:db8::/32]",     NULL, 0, false },
	{ "! 192.0.2.9",         NULL, 0, false },
	{ "!!192.0.2.9",         NULL, 0, false },
	{ "!",                   NULL, 0, false },
	{ "/24",                 NULL, 0, false },
	{ "",                    NULL, 0, false },
};

static const struct {
	const char *block, *ip;
	bool expected;
} contained[] = {
	{ "192.0.2.0/24",   "192.0.2.255",        true },
	{ "192.0.2.0/24",   "192.0.3.0",          false },
	{ "192.0.2.0/24",   "::ffff:192.0.2.7",   true },
	{ "192.0.2.8/29",   "192.0.2.15",         true },
	{ "192.0.2.8/29",   "192.0.2.16",         false },
	{ "192.0.2.8/29",   "192.0.2.7",          false },
	{ "192.0.2.9",      "192.0.2.9",          true },
	{ "192.0.2.9",      "192.0.2.8",          false },
	{ "0.0.0.0/0",      "255.255.255.255",    true },
	{ "0.0.0.0/0",      "2001:db8::1",        false },
	{ "::/0",           "2001:db8::1",        true },
	{ "::/0",           "192.0.2.1",          false },
	{ "::/64",          "192.0.2.1",          false },
	{ "::ffff:0:0/96",  "192.0.2.1",          true },
	{ "2001:db8::/33",  "2001:db8:7fff::",    true },
	{ "2001:db8::/33",  "2001:db8:8000::",    false },
};
/* clang-format on */

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static void assert_ip(const struct ip *ip, const char *expected, const char *label)
{
	char text[INET6_ADDRSTRLEN];

	ck_assert_ptr_nonnull(inet_ntop(AF_INET6, ip->bytes, text, sizeof(text)));
	ck_assert_msg(strcmp(text, expected) == 0, "%s: %s, not %s", label, text, expected);
}

START_TEST(parses_addresses)
{
	struct ip ip;
	const char *expected = addresses[_i].expected;

	unit_assert_status(ip_parse(unit_text(addresses[_i].text), &ip),
	    expected != NULL ? CX_OK : CX_EINVAL, addresses[_i].text);
	if (expected != NULL) {
		assert_ip(&ip, expected, addresses[_i].text);
	}
}
END_TEST

START_TEST(parses_blocks)
{
	struct cidr cidr;
	const char *expected = blocks[_i].expected;

	unit_assert_status(cidr_parse(unit_text(blocks[_i].text), &cidr),
	    expected != NULL ? CX_OK : CX_EINVAL, blocks[_i].text);
	if (expected != NULL) {
		assert_ip(&cidr.ip, expected, blocks[_i].text);
		ck_assert_int_eq(cidr.prefix_len, blocks[_i].prefix_len);
		ck_assert_int_eq(cidr.is_negated, blocks[_i].is_negated);
	}
}
END_TEST

START_TEST(refuses_nul_within)
{
	struct ip ip;

	unit_assert_status(ip_parse(unit_span("192.0.2.1\0x", 11), &ip), CX_EINVAL, "NUL");
	unit_assert_status(ip_parse((struct span){ NULL, 0 }, &ip), CX_EINVAL, "NULL");
}
END_TEST

START_TEST(a_block_contains_its_addresses)
{
	struct cidr cidr;
	struct ip ip;

	ck_assert_int_eq(cidr_parse(span_of(contained[_i].block), &cidr), CX_OK);
	ck_assert_int_eq(ip_parse(span_of(contained[_i].ip), &ip), CX_OK);
	ck_assert_msg(cidr_contains(&cidr, &ip) == contained[_i].expected, "%s in %s",
	    contained[_i].ip, contained[_i].block);
}
END_TEST

static bool same_bits(const struct ip *a, const struct ip *b, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned bit = 0x80u >> (i % 8);

		if ((a->bytes[i / 8] & bit) != (b->bytes[i / 8] & bit)) {
			return false;
		}
	}
	return true;
}

START_TEST(masking_agrees_with_comparing_bit_by_bit)
{
	struct ip ip, other, zero = { { 0 } };
	unsigned seed = 1;

	for (unsigned len = 0; len <= 128; len++) {
		for (int i = 0; i < 16; i++) {
			seed = seed * 1103515245u + 12345u;
			ip.bytes[i] = (uint8_t)(seed >> 16);
		}
		other = ip_mask(&ip, len);
		ck_assert(same_bits(&ip, &other, len));
		for (unsigned i = len; i < 128; i++) {
			unsigned bit = other.bytes[i / 8] & (0x80u >> (i % 8));

			ck_assert_uint_eq(bit, 0);
		}
	}
	other = ip_mask(&ip, 0);
	ck_assert_mem_eq(&other, &zero, sizeof(zero));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("cidr");
	TCase *tcase = tcase_create("all");

	tcase_add_loop_test(tcase, parses_addresses, 0, ROWS(addresses));
	tcase_add_loop_test(tcase, parses_blocks, 0, ROWS(blocks));
	tcase_add_test(tcase, refuses_nul_within);
	tcase_add_loop_test(tcase, a_block_contains_its_addresses, 0, ROWS(contained));
	tcase_add_test(tcase, masking_agrees_with_comparing_bit_by_bit);
	suite_add_tcase(suite, tcase);
	return suite;
}
