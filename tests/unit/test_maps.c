#include "config.h"

#include <stdlib.h>

#include "policyd/socketmap.h"
#include "small_site.h"
#include "unit.h"

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

#define HERE  "OK lmtp:unix:private/lmtp"
#define NONE  "NOTFOUND "
#define LATER "TEMP try again later"
#define NO_ROUTE "OK coexist-no-route:"

/* clang-format off */
static const struct {
	const char *query;
	const char *reply;
} rows[] = {
	{ "transport *",                              NONE },
	{ "transport adam.barr@acme.example",         HERE },
	{ "transport Adam.BARR@Acme.Example",         HERE },
	{ "transport adam.barr+ext@acme.example",     HERE },
	{ "transport \"we ird\"@acme.example",        HERE },
	{ "transport we ird@acme.example",            HERE },
	{ "transport nobody@acme.example",            HERE },
	{ "transport eve@acme.example",               NONE },
	{ "transport eve@pop.partner.example",        "OK smtp:[pop.partner.example]:2525" },
	{ "transport x@relay.example",                "OK relay:[mx.relay.example]" },
	{ "transport x@out.example",                  NONE },
	{ "transport x@[192.0.2.1]",                  NONE },
	{ "transport postmaster",                     NONE },
	{ "transport ",                               NONE },
	{ "transport @acme.example",                  NONE },
	{ "transport x@acme..example",                NONE },
	{ "transport gone@acme.example",              NO_ROUTE },
	{ "transport twins@acme.example",             NO_ROUTE },
	/* smtpd would keep it as a refusal */
	{ "transport x@closed.example",               NO_ROUTE },

	{ "domains acme.example",                     "OK shared" },
	{ "domains ACME.example.",                    "OK shared" },
	{ "domains auth.example",                     "OK authoritative" },
	{ "domains a.b.wild.example",                 "OK authoritative" },
	{ "domains wild.example",                     NONE },
	{ "domains relay.example",                    "OK relay" },
	{ "domains old.example",                      "OK rewrite" },
	{ "domains off.example",                      "OK shared" },
	{ "domains out.example",                      NONE },
	{ "domains *",                                NONE },
	{ "domains *.wild.example",                   NONE },
	{ "domains ",                                 NONE },
	{ "domains [192.0.2.1]",                      NONE },
	{ "domains adam.barr@acme.example",           NONE },
	{ "mailbox_domains acme.example",             "OK shared" },
	{ "mailbox_domains auth.example",             "OK authoritative" },
	{ "mailbox_domains relay.example",            NONE },
	{ "mailbox_domains old.example",              NONE },
	{ "mailbox_domains out.example",              NONE },
	{ "relay_domains acme.example",               NONE },
	{ "relay_domains relay.example",              "OK relay" },
	{ "relay_domains old.example",                "OK rewrite" },
	{ "relay_domains out.example",                NONE },

	{ "recipients adam.barr@acme.example",        "OK OK" },
	{ "recipients a.barr+x@acme.example",         "OK OK" },
	{ "recipients eve@acme.example",              "OK OK" },
	{ "recipients boss@acme.example",             "OK OK" },
	{ "recipients nobody@acme.example",           NONE },
	{ "recipients parked@acme.example",           LATER },
	{ "recipients gone@acme.example",             LATER },
	{ "recipients x@off.example",                 LATER },
	{ "recipients x@relay.example",               "OK OK" },
	{ "recipients nobody@watch.example",          "OK OK" },
	{ "recipients x@out.example",                 NONE },
	{ "recipients eve@pop.partner.example",       NONE },
	{ "recipients adam@home.example",             NONE },
	{ "recipients adam.barr",                     NONE },

	{ "login adam.barr@acme.example",
	  "OK adam, adam.barr@acme.example, a.barr@acme.example, adam@home.example" },
	{ "login A.Barr+x@acme.example",
	  "OK adam, adam.barr@acme.example, a.barr@acme.example, adam@home.example" },
	{ "login eve@acme.example",                   "OK eve, eve@acme.example" },
	{ "login eve@pop.partner.example",            NONE },
	{ "login nobody@acme.example",                NONE },
	{ "login twin1@acme.example",                 "OK twin1@acme.example" },
	{ "login twins@acme.example",                 NONE },
	{ "login x@out.example",                      NONE },

	{ "primary adam.barr@acme.example",           "OK adam.barr@acme.example" },
	{ "primary A.BARR@acme.example",              "OK adam.barr@acme.example" },
	{ "primary a.barr+tag@acme.example",          "OK adam.barr+tag@acme.example" },
	{ "primary \"we ird\"@acme.example",          "OK adam.barr@acme.example" },
	{ "primary eve@pop.partner.example",          "OK eve@acme.example" },
	{ "primary eve+x@pop.partner.example",        NONE },
	{ "primary nobody@acme.example",              NONE },
	{ "primary twins@acme.example",               NONE },
	{ "primary x@out.example",                    NONE },

	{ "relay 192.0.2.7//",                        "OK OK" },
	{ "relay IPv6:2001:db8::7//",                 "OK OK" },
	{ "relay 192.0.2.9//",                        NONE },
	{ "relay 198.51.100.1//",                     NONE },
	{ "relay 198.51.100.1//adam",                 "OK OK" },
	{ "relay 192.0.2.9//adam",                    "OK OK" },
	{ "relay 198.51.100.1//adam.barr@acme.example", "OK OK" },
	{ "relay 198.51.100.1//a+64am",               "OK OK" },
	{ "relay 192.0.2.7//kid",                     NONE },
	{ "relay 198.51.100.1//stranger",             NONE },
	{ "relay 198.51.100.1//twin",                 NONE },
	{ "relay 198.51.100.1//adam/",                NONE },
	{ "relay 192.0.2.7//adam+",                   NONE },
	{ "relay 198.51.100.1/" FINGERPRINT "/",      "OK OK" },
	{ "relay 198.51.100.1/adam/",                 NONE },
	{ "relay //",                                 NONE },
	{ "relay ",                                   NONE },
	{ "relay unknown//",                          NONE },

	{ "nonsense acme.example",                    "PERM no such map" },
	{ "Domains acme.example",                     "PERM no such map" },
	{ "domains",                                  "PERM malformed request" },
	{ " acme.example",                            "PERM malformed request" },
	{ "",                                         "PERM malformed request" },
};
/* clang-format on */

/* The reply without its netstring; the caller's to free(). */
static char *ask(const struct small_site *site, struct span query)
{
	struct workspace workspace;
	struct frame frame;
	struct buf out;
	char *scratch = malloc(SOCKETMAP_SCRATCH_SIZE);
	const char *why = NULL;
	size_t scanned = 0;
	enum map_status status;
	char *reply;

	ck_assert_ptr_nonnull(scratch);
	ck_assert_int_eq(workspace_init(&workspace), CX_OK);
	buf_init(&out);
	status = socketmap_answer(&site->view, query, &workspace, scratch, &out, &why);
	ck_assert_int_eq(netstring_frame(buf_span(&out), &scanned, &frame, &why),
	    FRAME_WHOLE);
	ck_assert_uint_eq(frame.len, out.len);
	reply = calloc(1, frame.body.len + 1);
	ck_assert_ptr_nonnull(reply);
	memcpy(reply, frame.body.ptr, frame.body.len);
	ck_assert((status == MAP_TEMPORARY || status == MAP_UNAVAILABLE) ==
		   (strncmp(reply, "TEMP ", 5) == 0));
	ck_assert((status >= MAP_NO_SUCH_MAP) == (strncmp(reply, "PERM ", 5) == 0));
	buf_release(&out);
	workspace_release(&workspace);
	free(scratch);
	return reply;
}

START_TEST(replies)
{
	struct small_site site;
	char *reply;

	small_site_init(&site, NULL);
	reply = ask(&site, unit_text(rows[_i].query));
	ck_assert_msg(strcmp(reply, rows[_i].reply) == 0, "%s: %s, not %s",
	    rows[_i].query, reply, rows[_i].reply);
	free(reply);
	small_site_free(&site);
}
END_TEST

/* What could be found with one is TEMP without a replica; the rest may be either. */
START_TEST(without_replica_nothing_is_found)
{
	struct small_site site;
	char *reply;

	small_site_init_empty(&site);
	reply = ask(&site, unit_text(rows[_i].query));
	ck_assert_msg(strncmp(reply, "OK", 2) != 0, "%s: %s", rows[_i].query, reply);
	if (strncmp(rows[_i].reply, "OK", 2) == 0) {
		ck_assert_msg(strncmp(reply, "TEMP ", 5) == 0, "%s: %s", rows[_i].query,
		    reply);
	}
	if (strcmp(rows[_i].query, "transport *") == 0) {
		ck_assert_str_eq(reply, NONE);
	}
	free(reply);
	small_site_free(&site);
}
END_TEST

/* clang-format off */
static const struct {
	const char *label;
	struct small_site_age age;
	const char *query;
	const char *reply;
} ages[] = {
	{ "star before the first load",    { false, 0 }, "transport *",                  NONE },
	{ "foreign before the first load", { false, 0 }, "domains out.example",          LATER },
	{ "foreign next hop likewise",     { false, 0 }, "transport x@out.example",      LATER },
	{ "unknown before the first load", { false, 0 }, "transport nobody@acme.example", LATER },
	{ "unknown recipient likewise",    { false, 0 }, "recipients nobody@acme.example", LATER },
	{ "unknown sender likewise",       { false, 0 }, "primary x@out.example",        LATER },
	{ "known domain in an old replica", { true, 30 * 86400 }, "domains acme.example", "OK shared" },
	{ "other domain in an old replica", { true, 30 * 86400 }, "domains out.example", NONE },
	{ "next hop in an old replica",    { true, 30 * 86400 }, "transport adam.barr@acme.example", LATER },
	{ "foreign mail goes on",          { true, 30 * 86400 }, "transport x@out.example", NONE },
	{ "next hop after a day",          { true, 86400 }, "transport adam.barr@acme.example", HERE },
	{ "unknown after a day",           { true, 86400 }, "recipients nobody@acme.example", LATER },
	{ "login of nobody after a day",   { true, 86400 }, "login nobody@acme.example", LATER },
	{ "relaying before the first load", { false, 0 }, "relay 192.0.2.7//",           LATER },
	{ "client in an old replica",      { true, 30 * 86400 }, "relay 192.0.2.7//",    LATER },
	{ "client after a day",            { true, 86400 }, "relay 192.0.2.7//",         "OK OK" },
	{ "unknown login after a day",     { true, 86400 }, "relay 198.51.100.1//x",     LATER },
	{ "login of a stranger",           { true, 86400 }, "login x@out.example",       NONE },
};
/* clang-format on */

START_TEST(the_age_of_the_directory_counts)
{
	struct small_site site;
	char *reply;

	small_site_init(&site, &ages[_i].age);
	reply = ask(&site, unit_text(ages[_i].query));
	ck_assert_msg(strcmp(reply, ages[_i].reply) == 0, "%s: %s", ages[_i].label,
	    reply);
	free(reply);
	small_site_free(&site);
}
END_TEST

START_TEST(local_mailboxes_are_left_to_postfix_without_a_transport)
{
	struct small_site site;
	char *reply;

	small_site_init(&site, NULL);
	site.settings.mailbox_transport = "";
	reply = ask(&site, unit_text("transport adam.barr@acme.example"));
	ck_assert_str_eq(reply, NONE);
	free(reply);
	small_site_free(&site);
}
END_TEST

START_TEST(a_next_hop_with_a_line_break_is_not_passed_on)
{
	struct small_site site;
	char *reply;

	small_site_init(&site, NULL);
	site.settings.mailbox_transport = "lmtp:x\nOK";
	reply = ask(&site, unit_text("transport adam.barr@acme.example"));
	ck_assert_str_eq(reply, LATER);
	free(reply);
	small_site_free(&site);
}
END_TEST

START_TEST(a_nul_in_a_key_is_nobodys)
{
	struct small_site site;
	char *reply;

	small_site_init(&site, NULL);
	reply = ask(&site, unit_span("transport adam.barr\0@acme.example", 33));
	ck_assert_str_eq(reply, NONE);
	free(reply);
	small_site_free(&site);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("maps");
	TCase *tcase = tcase_create("all");

	tcase_add_loop_test(tcase, replies, 0, ROWS(rows));
	tcase_add_loop_test(tcase, without_replica_nothing_is_found, 0, ROWS(rows));
	tcase_add_loop_test(tcase, the_age_of_the_directory_counts, 0, ROWS(ages));
	tcase_add_test(tcase, local_mailboxes_are_left_to_postfix_without_a_transport);
	tcase_add_test(tcase, a_next_hop_with_a_line_break_is_not_passed_on);
	tcase_add_test(tcase, a_nul_in_a_key_is_nobodys);
	suite_add_tcase(suite, tcase);
	return suite;
}
