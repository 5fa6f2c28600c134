#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "decide/route.h"
#include "org.h"
#include "replica/connector.h"
#include "unit.h"
#include "value/address_space.h"
#include "value/imcea.h"

/*
 * The next hop is found by probing. What it must be is found here by looking at every address
 * space of every connector, in organisations made at random: few different labels, parts,
 * attributes and digits, so that spaces hold each other and addresses lie in many.
 */
#define ORGANISATIONS       40
#define ADDRESSES           150
#define CONNECTORS_MAX      30
#define SPACES_MAX          3
#define TEXT_MAX            128
#define OWN_HOST            "own-host.test"
#define OWN_SUBDOMAINS_HOST "own-subdomains-host.test"

struct model_connector {
	char name[16];
	bool is_disabled;
	int space_count;
	char spaces[SPACES_MAX][TEXT_MAX];
};

static struct org org;
static struct model_connector connectors[CONNECTORS_MAX];
static int connector_count;

static int pick(int count)
{
	return rand() % count;
}

static bool chance(int percent)
{
	return pick(100) < percent;
}

static const char *one_of(const char *const *words, int count)
{
	return words[pick(count)];
}
/* clang-format off */
#define ONE_OF(...) \
	one_of((const char *const[]){ __VA_ARGS__ }, \
	    (int)(sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *)))
/* clang-format on */

/* Capitals here and there: the case of no address space counts. */
static void add_any_case(struct buf *out, const char *text)
{
	bool is_upper = chance(30);

	for (; *text != '\0'; text++) {
		buf_add_char(out, is_upper && *text >= 'a' && *text <= 'z'
				      ? (char)(*text - 'a' + 'A')
				      : *text);
	}
}

static void add_domain(struct buf *out)
{
	for (int labels = pick(4); labels > 0; labels--) {
		add_any_case(out, ONE_OF("a.", "b."));
	}
	add_any_case(out, "test");
}

static void add_user(struct buf *out)
{
	add_any_case(out, ONE_OF("u", "v", "u+x"));
}

static void add_smtp_space(struct buf *out)
{
	buf_add_text(out, ONE_OF("SMTP:", "smtp:"));
	switch (pick(5)) {
	case 0: buf_add_text(out, ONE_OF("*", "")); return;
	case 1: buf_add_text(out, "*@"); break;
	case 2: break;
	case 3: buf_add_text(out, "*."); break;
	default:
		add_user(out);
		buf_add_char(out, '@');
		break;
	}
	add_domain(out);
}

static void add_ms_parts(struct buf *out, bool is_space)
{
	int parts = is_space ? 1 + pick(3) : 3;

	for (int i = 0; i < parts; i++) {
		buf_add_text(out, i > 0 ? "/" : "");
		if (is_space && chance(30)) {
			buf_add_text(out, ONE_OF("*", ""));
		} else {
			add_any_case(out, ONE_OF("n", "m", "nm"));
		}
	}
	if (is_space && parts == 1 && out->data[out->len - 1] == ':') {
		buf_add_char(out, '*'); /* "MS:" alone: every one, too */
	}
}

/* Each attribute or not, in any order. */
static void add_x400_attributes(struct buf *out, int percent)
{
	static const char *const names[] = { "c", "a", "p", "o" };
	int first = pick(4), step = chance(50) ? 1 : 3;
	const char *gap = "";

	for (int i = 0; i < 4; i++) {
		if (chance(percent)) {
			buf_add_text(out, gap);
			add_any_case(out, names[(first + i * step) % 4]);
			buf_add_char(out, '=');
			add_any_case(out, ONE_OF("x", "y"));
			gap = ";";
		}
	}
	if (gap[0] == '\0') {
		buf_add_text(out, "c=x");
	}
}

static void add_digits(struct buf *out, int count)
{
	while (count-- > 0) {
		buf_add_text(out, ONE_OF("1", "2"));
	}
}

static void make_space(char memory[TEXT_MAX])
{
	struct buf out;

	buf_init_fixed(&out, memory, TEXT_MAX);
	switch (pick(4)) {
	case 0: add_smtp_space(&out); break;
	case 1:
		buf_add_text(&out, "MS:");
		add_ms_parts(&out, true);
		break;
	case 2:
		buf_add_text(&out, "X400:");
		if (chance(10)) {
			buf_add_char(&out, '*');
		} else {
			add_x400_attributes(&out, 50);
		}
		break;
	default:
		buf_add_text(&out, "FAX:");
		add_digits(&out, pick(4));
		buf_add_text(&out, chance(70) ? "*" : "1");
		break;
	}
	if (chance(60)) {
		buf_printf(&out, ";%d", pick(3));
	}
	ck_assert(!out.failed);
	memory[out.len] = '\0';
}

static void put_connector(struct model_connector *connector, int number)
{
	char dn[TEXT_MAX];

	/* Names in another order than the entries. */
	snprintf(connector->name, sizeof(connector->name), "c%02d", (number * 17) % 37);
	snprintf(dn, sizeof(dn), "cn=%.15s,dc=acme", connector->name);
	connector->is_disabled = chance(20);
	connector->space_count = pick(SPACES_MAX + 1);
	for (int i = 0; i < SPACES_MAX; i++) {
		make_space(connector->spaces[i]);
	}
	org_put(&org, RECORD_CONNECTOR, connector->is_disabled ? CONNECTOR_DISABLED : 0,
	    TAG_DN, dn, TAG_NAME, connector->name, TAG_NEXT_HOP, connector->name,
	    connector->space_count > 0 ? TAG_SPACE : 0, connector->spaces[0],
	    connector->space_count > 1 ? TAG_SPACE : 0, connector->spaces[1],
	    connector->space_count > 2 ? TAG_SPACE : 0, connector->spaces[2], 0);
}

/* a.test and what is below b.test are ours, with a host each. */
static void put_own_domain(const char *pattern, const char *host)
{
	char dn[TEXT_MAX];

	snprintf(dn, sizeof(dn), "associatedDomain=%s,dc=acme", pattern);
	org_put(&org, RECORD_DOMAIN, 0, TAG_DN, dn, TAG_DOMAIN, pattern,
	    TAG_DOMAIN_TYPE, "2", TAG_UNKNOWN, "2", TAG_FORWARD_HOST, host, 0);
}

static void make_organisation(void)
{
	org_open(&org);
	put_own_domain("a.test", OWN_HOST);
	put_own_domain("*.b.test", OWN_SUBDOMAINS_HOST);
	connector_count = 1 + pick(CONNECTORS_MAX);
	for (int i = 0; i < connector_count; i++) {
		put_connector(&connectors[i], i);
	}
	org_look(&org);
}

/* The best of those looked at so far. */
struct best {
	struct address_space space;
	const char *space_text, *name, *host;
};

/* Whether it holds the address, or, as the space of one mailbox, it without an extension. */
static bool holds(const char *text, const struct address *address)
{
	struct address base;
	size_t len = address->folded_len;

	if (address_space_matches(span_of(text), address)) {
		return true;
	}
	if (strchr(text, '@') == NULL || strchr(text, '*') != NULL ||
	    !address_next_base(address, "+", &len)) {
		return false;
	}
	ck_assert_int_eq(address_make("smtp", (struct span){ address->folded, len },
			     span_of(address->domain), &base), CX_OK);
	return address_space_matches(span_of(text), &base);
}

static void compare(struct best *best, const char *text, const char *name,
    const char *host, const struct address *address)
{
	struct address_space space;
	int order;

	if (!holds(text, address)) {
		return;
	}
	ck_assert_msg(address_space_parse(span_of(text), &space) == CX_OK, "%s", text);
	order = best->host != NULL ? address_space_compare(&space, &best->space) : -1;
	if (order < 0 || (order == 0 && strcmp(name, best->name) < 0)) {
		*best = (struct best){ space, text, name, host };
	}
}

static struct best scan(const struct address *address, bool with_own_domains)
{
	struct best best = { .host = NULL };

	for (int i = 0; i < connector_count; i++) {
		for (int j = 0; j < connectors[i].space_count; j++) {
			if (!connectors[i].is_disabled) {
				compare(&best, connectors[i].spaces[j],
				    connectors[i].name, connectors[i].name, address);
			}
		}
	}
	if (with_own_domains) {
		compare(&best, "SMTP:a.test;0", "", OWN_HOST, address);
		compare(&best, "SMTP:*.b.test;0", "", OWN_SUBDOMAINS_HOST, address);
	}
	return best;
}

static void assert_routed(const struct address *address, const struct best *expected)
{
	char memory[NEXT_HOP_MAX], hop[TEXT_MAX], text[ADDRESS_PRINT_MAX];
	struct buf next_hop, printed;
	enum status status;

	buf_init_fixed(&next_hop, memory, sizeof(memory));
	buf_init_fixed(&printed, text, sizeof(text));
	buf_add_escaped(&printed, (struct span){ address->local, address->local_len });
	buf_printf(&printed, "@%s (%s)", address->domain, address->type);
	status = route(&org.view, address, &next_hop, NULL);
	if (expected->host == NULL) {
		unit_assert_status(status, CX_NOTFOUND, text);
		return;
	}
	unit_assert_status(status, CX_OK, text);
	snprintf(hop, sizeof(hop), "relay:[%s]", expected->host);
	ck_assert_msg(span_equal(buf_span(&next_hop), span_of(hop)),
	    "%s: %.*s, not %s by %s", text, SPAN_ARGS(buf_span(&next_hop)), hop,
	    expected->space_text);
}

static void make_inner(struct address *out)
{
	char memory[TEXT_MAX];
	struct buf value;
	const char *type;

	buf_init_fixed(&value, memory, sizeof(memory));
	switch (pick(3)) {
	case 0:
		type = "ms";
		add_ms_parts(&value, false);
		break;
	case 1:
		type = "x400";
		add_x400_attributes(&value, 70);
		break;
	default:
		type = "fax";
		add_digits(&value, 1 + pick(5));
		break;
	}
	ck_assert_int_eq(address_make(type, buf_span(&value), SPAN(""), out), CX_OK);
}

static void make_smtp(struct address *out)
{
	char local[TEXT_MAX], domain[TEXT_MAX];
	struct buf local_text, domain_text;

	buf_init_fixed(&local_text, local, sizeof(local));
	buf_init_fixed(&domain_text, domain, sizeof(domain));
	add_user(&local_text);
	add_domain(&domain_text);
	ck_assert_int_eq(address_make("smtp", buf_span(&local_text),
			     buf_span(&domain_text), out),
	    CX_OK);
}

START_TEST(routes_smtp_addresses_as_a_linear_scan_does)
{
	struct address address;
	struct best best;
	int routed = 0;

	srand(20261122U + (unsigned)_i);
	make_organisation();
	for (int i = 0; i < ADDRESSES; i++) {
		make_smtp(&address);
		best = scan(&address, true);
		assert_routed(&address, &best);
		routed += best.host != NULL;
	}
	ck_assert_int_gt(routed, 0);
	org_close(&org);
}
END_TEST

START_TEST(routes_addresses_of_other_types_as_a_linear_scan_does)
{
	struct address address;
	struct best best;

	srand(20261222U + (unsigned)_i);
	make_organisation();
	for (int i = 0; i < ADDRESSES; i++) {
		make_inner(&address);
		best = scan(&address, false);
		assert_routed(&address, &best);
	}
	org_close(&org);
}
END_TEST

/* Encapsulated under a domain of ours: by the inner address, then as any of the domain. */
START_TEST(routes_encapsulated_addresses_as_a_linear_scan_of_the_inner_one_does)
{
	struct address inner, outer;
	struct best best;

	srand(20270122U + (unsigned)_i);
	make_organisation();
	for (int i = 0; i < ADDRESSES; i++) {
		make_inner(&inner);
		ck_assert_int_eq(imcea_encode(&inner,
				     chance(50) ? SPAN("a.test") : SPAN("a.b.test"),
				     &outer),
		    CX_OK);
		best = scan(&inner, false);
		if (best.host == NULL) {
			best = scan(&outer, true);
		}
		assert_routed(&outer, &best);
	}
	org_close(&org);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("route");
	TCase *tcase = tcase_create("linear scan");

	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, routes_smtp_addresses_as_a_linear_scan_does, 0,
	    ORGANISATIONS);
	tcase_add_loop_test(tcase,
	    routes_addresses_of_other_types_as_a_linear_scan_does, 0, ORGANISATIONS);
	tcase_add_loop_test(tcase,
	    routes_encapsulated_addresses_as_a_linear_scan_of_the_inner_one_does, 0,
	    ORGANISATIONS);
	suite_add_tcase(suite, tcase);
	return suite;
}
