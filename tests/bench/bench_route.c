#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "decide/authorize.h"
#include "decide/route.h"
#include "tests/unit/org.h"
#include "tests/unit/unit.h"

/*
 * Look-ups of next hops and of client networks with ten connectors and as many domains, and
 * with ten thousand. A look-up that scanned would take a thousand times as long; what is
 * printed last is how many times as long it takes.
 */
#define FEW     10
#define MANY    10000
#define ROUNDS  50000
#define REPEATS 3

struct row {
	const char *label, *type, *local, *domain; /* "%u": a number below the count */
};

/* clang-format off */
static const struct row rows[] = {
	{ "address space of a domain of ours", "smtp", "user",        "d%u.example" },
	{ "forward host of a domain of ours",  "smtp", "user",        "f%u.example" },
	{ "below a wildcard domain",           "smtp", "user",        "a.b.d%u.example" },
	{ "address of another domain",         "smtp", "user",        "d%u.elsewhere.test" },
	{ "one address exactly",               "smtp", "user%u",      "exact.test" },
	{ "post office",                       "ms",   "NET/PO%u/ME", "" },
	{ "X.400 site",                        "x400", "c=us;a=att;p=acme;o=site%u;s=barr", "" },
	{ "telephone prefix",                  "fax",  "555%05u99",   "" },
};
/* clang-format on */

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct span print_number(char memory[128], const char *format, unsigned number)
{
	struct buf out;
	const char *at = strchr(format, '%');

	buf_init_fixed(&out, memory, 128);
	if (at == NULL) {
		buf_add_text(&out, format);
		return buf_span(&out);
	}
	buf_add(&out, format, (size_t)(at - format));
	buf_printf(&out, at[1] == '0' ? "%05u" : "%u", number);
	buf_add_text(&out, strchr(at, 'u') + 1);
	return buf_span(&out);
}

static void put_connector(struct org *org, unsigned i)
{
	char name[32], dn[64], domain[64], below[64], exact[64], ms[64], x400[64],
	    fax[64], client[64];

	snprintf(name, sizeof(name), "c%u", i);
	snprintf(dn, sizeof(dn), "cn=c%u,dc=acme", i);
	snprintf(domain, sizeof(domain), "SMTP:d%u.example", i);
	snprintf(below, sizeof(below), "SMTP:*.d%u.example", i);
	snprintf(exact, sizeof(exact), "SMTP:user%u@exact.test", i);
	snprintf(ms, sizeof(ms), "MS:NET/PO%u/", i);
	snprintf(x400, sizeof(x400), "X400:c=us;a=att;p=acme;o=site%u", i);
	snprintf(fax, sizeof(fax), "FAX:555%05u*", i);
	snprintf(client, sizeof(client), "10.%u.%u.0/24", i / 256, i % 256);
	org_put(org, RECORD_CONNECTOR, 0, TAG_DN, dn, TAG_NAME, name, TAG_NEXT_HOP,
	    name, TAG_SPACE, domain, TAG_SPACE, below, TAG_SPACE, exact, TAG_SPACE, ms,
	    TAG_SPACE, x400, TAG_SPACE, fax, TAG_RELAY_CLIENT, client, 0);
}

static void put_domain(struct org *org, unsigned i)
{
	char name[32], below[32], forwarded[32], dn[64];

	snprintf(name, sizeof(name), "d%u.example", i);
	snprintf(below, sizeof(below), "*.d%u.example", i);
	snprintf(dn, sizeof(dn), "associatedDomain=d%u.example,dc=acme", i);
	org_put(org, RECORD_DOMAIN, 0, TAG_DN, dn, TAG_DOMAIN, below, TAG_DOMAIN, name,
	    TAG_DOMAIN_TYPE, "2", TAG_UNKNOWN, "1", 0);
	snprintf(forwarded, sizeof(forwarded), "f%u.example", i);
	snprintf(dn, sizeof(dn), "associatedDomain=f%u.example,dc=acme", i);
	org_put(org, RECORD_DOMAIN, 0, TAG_DN, dn, TAG_DOMAIN, forwarded,
	    TAG_DOMAIN_TYPE, "3", TAG_UNKNOWN, "1", TAG_FORWARD_HOST, "legacy.example",
	    0);
}

static void fill(struct org *org, unsigned count)
{
	org_open(org);
	for (unsigned i = 0; i < count; i++) {
		put_connector(org, i);
		put_domain(org, i);
	}
	org_look(org);
}

static void look_up_route(struct org *org, const struct row *row, unsigned number)
{
	char local[128], domain[128], memory[NEXT_HOP_MAX];
	struct address address;
	struct buf next_hop;
	enum status status;

	if (address_make(row->type, print_number(local, row->local, number),
		print_number(domain, row->domain, number), &address) != CX_OK) {
		abort();
	}
	buf_init_fixed(&next_hop, memory, sizeof(memory));
	status = route(&org->view, &address, &next_hop, NULL);
	if (status !=
	    (strcmp(row->domain, "d%u.elsewhere.test") == 0 ? CX_NOTFOUND : CX_OK)) {
		abort();
	}
}

/* `row` NULL: what a client of one of the networks may do. */
static void look_up(struct org *org, const struct row *row, unsigned number)
{
	struct relay_facts facts = { .has_ip = true };
	struct authorization authorization;
	char text[64];

	if (row != NULL) {
		look_up_route(org, row, number);
		return;
	}
	snprintf(text, sizeof(text), "10.%u.%u.7", number / 256, number % 256);
	if (ip_parse(span_of(text), &facts.ip) != CX_OK) {
		abort();
	}
	authorize(&org->view, &facts, &authorization);
	if (authorization.verdict != RELAY_PERMITTED) {
		abort();
	}
}

/* Microseconds a look-up, the best of some runs. */
static double measure(struct org *org, const struct row *row, unsigned count)
{
	double best = 0;

	for (int repeat = 0; repeat < REPEATS; repeat++) {
		double start = now_s(), each;

		for (unsigned i = 0; i < ROUNDS; i++) {
			look_up(org, row, i * 7919U % count);
		}
		each = (now_s() - start) * 1e6 / ROUNDS;
		best = repeat == 0 || each < best ? each : best;
	}
	return best;
}

START_TEST(looks_up)
{
	static struct org few, many;
	const int count = (int)(sizeof(rows) / sizeof(rows[0]));

	fill(&few, FEW);
	fill(&many, MANY);
	printf("%-36s %8u %8u\n", "microseconds, connectors and domains:", FEW, MANY);
	for (int i = 0; i <= count; i++) {
		const struct row *row = i < count ? &rows[i] : NULL;
		double with_few = measure(&few, row, FEW);
		double with_many = measure(&many, row, MANY);

		printf("%-36s %8.2f %8.2f  %.2f\n",
		    row != NULL ? row->label : "client network", with_few, with_many,
		    with_many / with_few);
	}
	org_close(&few);
	org_close(&many);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("route");
	TCase *tcase = tcase_create("look-ups");

	tcase_set_timeout(tcase, 0);
	tcase_add_test(tcase, looks_up);
	suite_add_tcase(suite, tcase);
	return suite;
}
