#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "syncd/ldap_range.h"
#include "unit.h"

/* clang-format off */
static const struct {
	const char *label;
	const char *text;
	enum status status;
	const char *name;
	uint32_t from, to;
	bool is_last;
} rows[] = {
	{ "a part", "member;range=0-1499", CX_OK, "member", 0, 1499, false },
	{ "a later one", "member;range=1500-2999", CX_OK, "member", 1500, 2999, false },
	{ "the last", "member;range=3000-*", CX_OK, "member", 3000, 0, true },
	{ "all", "member;range=0-*", CX_OK, "member", 0, 0, true },
	{ "another case", "proxyAddresses;Range=0-0", CX_OK, "proxyAddresses", 0, 0, false },
	{ "no option", "member", CX_NOTFOUND, NULL, 0, 0, false },
	{ "another option", "member;lang-de", CX_NOTFOUND, NULL, 0, 0, false },
	{ "binary", "userCertificate;binary", CX_NOTFOUND, NULL, 0, 0, false },
	{ "behind another option", "cn;lang-de;range=0-9", CX_NOTFOUND, NULL, 0, 0, false },
	{ "before another option", "cn;range=0-9;lang-de", CX_EINVAL, NULL, 0, 0, false },
	{ "a similar option", "member;ranged", CX_NOTFOUND, NULL, 0, 0, false },
	{ "backwards", "member;range=5-2", CX_EINVAL, NULL, 0, 0, false },
	{ "negative", "member;range=-1-2", CX_EINVAL, NULL, 0, 0, false },
	{ "no end", "member;range=0-", CX_EINVAL, NULL, 0, 0, false },
	{ "no beginning", "member;range=-5", CX_EINVAL, NULL, 0, 0, false },
	{ "nothing", "member;range=", CX_EINVAL, NULL, 0, 0, false },
	{ "a number alone", "member;range=7", CX_EINVAL, NULL, 0, 0, false },
	{ "two stars", "member;range=0-**", CX_EINVAL, NULL, 0, 0, false },
	{ "from a star", "member;range=*-5", CX_EINVAL, NULL, 0, 0, false },
	{ "too large", "member;range=0-4294967295", CX_EINVAL, NULL, 0, 0, false },
	{ "far too large", "member;range=0-99999999999999999999999", CX_EINVAL, NULL, 0, 0, false },
	{ "no name", ";range=0-5", CX_OK, "", 0, 5, false },
	{ "empty", "", CX_NOTFOUND, NULL, 0, 0, false },
};
/* clang-format on */

START_TEST(ranges_are_read)
{
	struct range_part part;
	enum status status = range_parse(unit_text(rows[_i].text), &part);

	unit_assert_status(status, rows[_i].status, rows[_i].label);
	if (status == CX_OK) {
		unit_assert_span(part.name, rows[_i].name, rows[_i].label);
		ck_assert_msg(part.from == rows[_i].from && part.is_last == rows[_i].is_last &&
				  (part.is_last || part.to == rows[_i].to),
		    "%s", rows[_i].label);
	}
}
END_TEST

/* --- Putting parts together --- */

/* One answer: the stamp, then "name value value ..." with a range or none. */
struct answer {
	const char *stamp; /* entryCSN; NULL: the script is over */
	struct {
		const char *name;
		uint32_t from, to;
		bool is_part, is_last;
		const char *values; /* one letter each */
	} attributes[3];
};

static struct attribute made[4];
static struct span letters[64];
static struct ldap_entry made_entry;

static const struct ldap_entry *make(const struct answer *answer)
{
	size_t used = 0;

	memset(&made_entry, 0, sizeof(made_entry));
	letters[used] = unit_text(answer->stamp);
	made[0] = (struct attribute){ SPAN("entryCSN"), &letters[used++], 1 };
	made_entry.entry = (struct entry){ SPAN("cn=all"), made, 1 };
	for (size_t i = 0; i < 3 && answer->attributes[i].name; i++) {
		size_t count = strlen(answer->attributes[i].values);
		struct attribute *a = &made[made_entry.entry.count];

		*a = (struct attribute){ unit_text(answer->attributes[i].name),
			&letters[used], count };
		for (size_t j = 0; j < count; j++) {
			letters[used++] =
			    unit_span(answer->attributes[i].values + j, 1);
		}
		if (answer->attributes[i].is_part) {
			made_entry.is_partial = true;
			made_entry.parts[made_entry.part_count++] = (struct ldap_part){
				made_entry.entry.count, answer->attributes[i].from,
				answer->attributes[i].to, answer->attributes[i].is_last
			};
		}
		made_entry.entry.count++;
	}
	return &made_entry;
}

static void print(const struct entry *entry, struct buf *out)
{
	for (size_t i = 0; i < entry->count; i++) {
		const struct attribute *a = &entry->attributes[i];

		buf_add_span(out, a->name);
		buf_add_char(out, ':');
		for (size_t j = 0; j < a->count; j++) {
			buf_add_span(out, a->values[j]);
		}
		buf_add_char(out, ' ');
	}
}

#define PART(name, from, to, values) { name, from, to, true, false, values }
#define LAST(name, from, values) { name, from, 0, true, true, values }
#define WHOLE(name, values) { name, 0, 0, false, false, values }

/* clang-format off */
static const struct {
	const char *label;
	struct answer answers[5];
	const char *asked; /* for what, in turn */
	enum status status;
	const char *entry;
} scripts[] = {
	{ "two parts",
		{ { "1", { WHOLE("cn", "x"), PART("member", 0, 2, "abc") } }, { "1", { LAST("member", 3, "de") } } },
		"member;range=3-* ", CX_OK, "entryCSN:1 cn:x member:abcde " },
	{ "four parts",
		{ { "1", { PART("member", 0, 1, "ab") } }, { "1", { PART("member", 2, 3, "cd") } },
		  { "1", { PART("member", 4, 4, "e") } }, { "1", { LAST("member", 5, "f") } } },
		"member;range=2-* member;range=4-* member;range=5-* ", CX_OK, "entryCSN:1 member:abcdef " },
	{ "two attributes in parts",
		{ { "1", { PART("member", 0, 1, "ab"), PART("proxyAddresses", 0, 0, "p") } },
		  { "1", { LAST("member", 2, "c") } }, { "1", { LAST("PROXYADDRESSES", 1, "qr") } } },
		"member;range=2-* proxyAddresses;range=1-* ", CX_OK, "entryCSN:1 member:abc proxyAddresses:pqr " },
	{ "nothing in parts after all",
		{ { "1", { WHOLE("member", "ab") } } }, "", CX_OK, "entryCSN:1 member:ab " },
	{ "the last part at once",
		{ { "1", { LAST("member", 0, "ab") } } }, "", CX_OK, "entryCSN:1 member:ab " },
	{ "changed meanwhile",
		{ { "1", { PART("member", 0, 1, "ab") } }, { "2", { LAST("member", 2, "c") } } },
		"member;range=2-* ", CX_ETEMP, NULL },
	{ "changed meanwhile, and shorter",
		{ { "1", { PART("member", 0, 1, "ab") } }, { "2", { WHOLE("cn", "x") } } },
		"member;range=2-* ", CX_ETEMP, NULL },
	{ "begins in the middle",
		{ { "1", { PART("member", 2, 3, "ab") } } }, "", CX_EINVAL, NULL },
	{ "overlapping",
		{ { "1", { PART("member", 0, 1, "ab") } }, { "1", { LAST("member", 1, "bc") } } },
		"member;range=2-* ", CX_EINVAL, NULL },
	{ "a gap",
		{ { "1", { PART("member", 0, 1, "ab") } }, { "1", { LAST("member", 3, "de") } } },
		"member;range=2-* ", CX_EINVAL, NULL },
	{ "the same again",
		{ { "1", { PART("member", 0, 1, "ab") } }, { "1", { PART("member", 0, 1, "ab") } } },
		"member;range=2-* ", CX_EINVAL, NULL },
	{ "fewer values than it says",
		{ { "1", { PART("member", 0, 9, "ab") } } }, "", CX_EINVAL, NULL },
	{ "more values than it says",
		{ { "1", { PART("member", 0, 0, "ab") } } }, "", CX_EINVAL, NULL },
	{ "another attribute",
		{ { "1", { PART("member", 0, 1, "ab") } }, { "1", { LAST("proxyAddresses", 2, "c") } } },
		"member;range=2-* ", CX_EINVAL, NULL },
	{ "no part at all",
		{ { "1", { PART("member", 0, 1, "ab") } }, { "1", { WHOLE("member", "cd") } } },
		"member;range=2-* ", CX_EINVAL, NULL },
};
/* clang-format on */

START_TEST(parts_make_an_entry_or_none)
{
	struct range_entry whole;
	struct buf asked, text;
	enum status status;

	buf_init(&asked);
	buf_init(&text);
	range_entry_init(&whole);
	status = range_entry_begin(&whole, make(&scripts[_i].answers[0]));
	for (size_t i = 1; status == CX_OK && range_entry_next(&whole, &asked); i++) {
		ck_assert_msg(scripts[_i].answers[i].stamp != NULL, "%s: asks on",
		    scripts[_i].label);
		buf_add_char(&asked, ' ');
		status = range_entry_add(&whole, make(&scripts[_i].answers[i]));
	}
	unit_assert_status(status, scripts[_i].status, scripts[_i].label);
	unit_assert_span(buf_span(&asked), scripts[_i].asked, scripts[_i].label);
	if (status == CX_OK) {
		unit_assert_status(range_entry_finish(&whole), CX_OK, scripts[_i].label);
		unit_assert_span(whole.entry.dn, "cn=all", scripts[_i].label);
		print(&whole.entry, &text);
		unit_assert_span(buf_span(&text), scripts[_i].entry, scripts[_i].label);
	}
	range_entry_release(&whole);
	buf_release(&asked);
	buf_release(&text);
}
END_TEST

/* A server that sends on and on is stopped. */
START_TEST(an_endless_attribute_is_too_long)
{
	struct answer part = { "1", { PART("member", 0, 15, "abcdefghijklmnop") } };
	struct range_entry whole;
	struct buf asked;
	enum status status;
	uint32_t at = 0;

	buf_init(&asked);
	range_entry_init(&whole);
	status = range_entry_begin(&whole, make(&part));
	while (status == CX_OK && range_entry_next(&whole, &asked)) {
		at += 16;
		ck_assert_uint_le(at, LDAP_ENTRY_VALUES_MAX);
		part.attributes[0].from = at;
		part.attributes[0].to = at + 15;
		status = range_entry_add(&whole, make(&part));
	}
	unit_assert_status(status, CX_ETOOLONG, "endless");
	range_entry_release(&whole);
	buf_release(&asked);
}
END_TEST

static const struct {
	const char *label;
	unsigned kinds;
	const char *terms;
} terms[] = {
	{ "entryUUID", LDAP_IDENTITY_ENTRY_UUID,
	    "(entryUUID=30313233-3435-3637-3839-616263646566)" },
	{ "objectGUID", LDAP_IDENTITY_OBJECT_GUID,
	    "(objectGUID=\\30\\31\\32\\33\\34\\35\\36\\37\\38\\39\\61\\62\\63\\64\\65\\66)" },
	{ "nsUniqueId", LDAP_IDENTITY_NS_UNIQUE_ID,
	    "(nsUniqueId=30313233-34353637-38396162-63646566)" },
	{ "two kinds", LDAP_IDENTITY_ENTRY_UUID | LDAP_IDENTITY_NS_UNIQUE_ID,
	    "(entryUUID=30313233-3435-3637-3839-616263646566)"
	    "(nsUniqueId=30313233-34353637-38396162-63646566)" },
	{ "none to search for", LDAP_IDENTITY_DN, "" },
};

START_TEST(an_entry_is_found_by_its_id)
{
	struct buf out;

	buf_init(&out);
	ldap_identity_terms(&out, terms[_i].kinds, (const uint8_t *)"0123456789abcdef");
	unit_assert_span(buf_span(&out), terms[_i].terms, terms[_i].label);
	buf_release(&out);
}
END_TEST

static const struct {
	const char *label;
	const char *name, *value;
	enum ldap_identity kind;
	const char *uuid; /* NULL: not looked at */
} identities[] = {
	{ "entryUUID", "entryUUID", "30313233-3435-3637-3839-616263646566",
	    LDAP_IDENTITY_ENTRY_UUID, "0123456789abcdef" },
	{ "objectGUID", "objectGUID", "0123456789abcdef", LDAP_IDENTITY_OBJECT_GUID,
	    "0123456789abcdef" },
	{ "nsUniqueId", "nsuniqueid", "30313233-34353637-38396162-6364656F",
	    LDAP_IDENTITY_NS_UNIQUE_ID, "0123456789abcdeo" },
	{ "nsUniqueId too short", "nsuniqueid", "30313233-34353637-38396162-636465",
	    LDAP_IDENTITY_DN, NULL },
	{ "nsUniqueId with other groups", "nsuniqueid",
	    "3031323-334353637-38396162-63646566", LDAP_IDENTITY_DN, NULL },
	{ "nsUniqueId with other digits", "nsuniqueid",
	    "3031323g-34353637-38396162-63646566", LDAP_IDENTITY_DN, NULL },
	{ "objectGUID too short", "objectGUID", "0123456789", LDAP_IDENTITY_DN, NULL },
	{ "nothing", "cn", "x", LDAP_IDENTITY_DN, NULL },
};

START_TEST(an_entry_says_who_it_is)
{
	struct span value = unit_text(identities[_i].value);
	struct attribute attribute = { span_of(identities[_i].name), &value, 1 };
	struct ldap_entry le = { .entry = { SPAN("cn=x"), &attribute, 1 } };
	enum ldap_identity kind;
	uint8_t uuid[16];

	unit_assert_status(ldap_entry_identity(&le, uuid, &kind), CX_OK,
	    identities[_i].label);
	ck_assert_msg(kind == identities[_i].kind, "%s", identities[_i].label);
	ck_assert_msg(!identities[_i].uuid ||
			  memcmp(uuid, identities[_i].uuid, sizeof(uuid)) == 0,
	    "%s", identities[_i].label);
}
END_TEST

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

Suite *unit_suite(void)
{
	Suite *suite = suite_create("ldap_range");
	TCase *tcase = tcase_create("ldap_range");

	tcase_add_loop_test(tcase, ranges_are_read, 0, COUNT(rows));
	tcase_add_loop_test(tcase, parts_make_an_entry_or_none, 0, COUNT(scripts));
	tcase_add_test(tcase, an_endless_attribute_is_too_long);
	tcase_add_loop_test(tcase, an_entry_is_found_by_its_id, 0, COUNT(terms));
	tcase_add_loop_test(tcase, an_entry_says_who_it_is, 0, COUNT(identities));
	suite_add_tcase(suite, tcase);
	return suite;
}
