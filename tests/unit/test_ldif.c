#include "config.h"

#include <stdlib.h>

#include "syncd/ldif_parse.h"
#include "unit.h"
#include "value/buf.h"

/* What is read, as text: "dn|name=value,value|..." a line for each entry. */
struct reading {
	struct buf text;
	uint8_t last_uuid[16];
	unsigned count;
	enum status answer;
};

static enum status note_entry(void *context, const struct ldif_entry *entry)
{
	struct reading *reading = context;

	buf_printf(&reading->text, "%lu ", entry->line);
	buf_add_escaped(&reading->text, entry->entry.dn);
	for (size_t i = 0; i < entry->entry.count; i++) {
		const struct attribute *attribute = &entry->entry.attributes[i];

		buf_printf(&reading->text, "|%.*s", SPAN_ARGS(attribute->name));
		for (size_t j = 0; j < attribute->count; j++) {
			buf_add_char(&reading->text, j ? ',' : '=');
			buf_add_escaped(&reading->text, attribute->values[j]);
		}
	}
	buf_add_text(&reading->text, entry->is_partial ? "|PARTIAL\n" : "\n");
	memcpy(reading->last_uuid, entry->uuid, sizeof(reading->last_uuid));
	reading->count++;
	return reading->answer;
}

static enum status read_text(const char *text, size_t len, struct reading *reading,
    struct errbuf *err)
{
	char *copy = malloc(len + 1); /* the byte behind it may be written */
	enum status status;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, len);
	copy[len] = 'x';
	buf_init(&reading->text);
	reading->count = 0;
	reading->answer = CX_OK;
	err->text[0] = '\0';
	status = ldif_parse("f", "/tmp", copy, len, note_entry, reading, err);
	free(copy);
	return status;
}

struct row {
	const char *label;
	const char *text;
	const char *entries; /* NULL: refused ... */
	const char *error;   /* ... with this */
};

/* clang-format off */
#define UUID "597ae2f6-16a6-1027-98f4-d28b5365dc14"
static const struct row rows[] = {
	{ "nothing", "", "", NULL },
	{ "blank lines", "\n\n\r\n", "", NULL },
	{ "one entry", "dn: dc=a\ndc: a\n", "1 dc=a|dc=a\n", NULL },
	{ "no newline at the end", "dn: dc=a\ndc: a", "1 dc=a|dc=a\n", NULL },
	{ "version", "version: 1\n\ndn: dc=a\n", "3 dc=a\n", NULL },
	{ "version with no blank line", "version: 1\ndn: dc=a\n", "2 dc=a\n", NULL },
	{ "another version", "version: 2\ndn: dc=a\n", NULL, "f:1: only version 1 of LDIF is known" },
	{ "version in the middle", "dn: dc=a\n\nversion: 1\n", NULL, "f:3: a record must begin with \"dn:\"" },
	{ "CRLF", "dn: dc=a\r\ndc: a\r\n\r\ndn: dc=b\r\n", "1 dc=a|dc=a\n4 dc=b\n", NULL },
	{ "byte order mark", "\xef\xbb\xbf" "dn: dc=a\n", "1 dc=a\n", NULL },
	{ "byte order mark in the middle", "dn: dc=a\n\n\xef\xbb\xbf" "dn: dc=b\n", NULL, "f:3: not an attribute name" },
	{ "comments", "# x\ndn: dc=a\n# y\n continued: z\ndc: a\n", "2 dc=a|dc=a\n", NULL },
	{ "folded lines", "dn: dc=\n a\ndescription: on\n e\r\n  two\n", "1 dc=a|description=one two\n", NULL },
	{ "folded with a tab", "dn: dc=a\ndc: a\n\tb\n", "1 dc=a|dc=ab\n", NULL },
	{ "a continuation of nothing", " dn: dc=a\n", NULL, "f:1: a continuation of nothing" },
	{ "a continuation behind a blank line", "dn: dc=a\n\n b\n", NULL, "f:3: a continuation of nothing" },
	{ "base64", "dn:: ZGM9YQ==\ncn:: w6Q=\n", "1 dc=a|cn=\xc3\xa4\n", NULL },
	{ "folded base64", "dn:: ZGM\n 9YQ==\n", "1 dc=a\n", NULL },
	{ "not base64", "dn: dc=a\ncn:: !!!\n", NULL, "f:2: not base64" },
	{ "base64 with a bit missing", "dn: dc=a\ncn:: w6\n", NULL, "f:2: not base64" },
	{ "base64 with padding inside", "dn: dc=a\ncn:: w6==w6==\n", NULL, "f:2: not base64" },
	{ "empty base64 is an empty value", "dn: dc=a\ncn:: \n", "1 dc=a|cn=\n", NULL },
	{ "empty value", "dn: dc=a\ncn:\n", "1 dc=a|cn=\n", NULL },
	{ "values of an attribute are gathered, in their order",
	  "dn: dc=a\ncn: 2\nsn: x\nCN: 1\ncn: 3\n", "1 dc=a|cn=2,1,3|sn=x\n", NULL },
	{ "part of a range", "dn: dc=a\nmember;range=0-1499: cn=x\n\ndn: dc=b\nl: y\n", "1 dc=a|PARTIAL\n4 dc=b|l=y\n", NULL },
	{ "a range that is none", "dn: dc=a\nmember;range=5-2: cn=x\ncn: y\n", "1 dc=a|cn=y|PARTIAL\n", NULL },
	{ "options are dropped", "dn: dc=a\ncn;lang-de: x\ncn: y\nuserCertificate;binary:: AAA=\n", "1 dc=a|cn=y\n", NULL },
	{ "blanks before a value", "dn:   dc=a\ncn:x\n", "1 dc=a|cn=x\n", NULL },
	{ "no colon", "dn: dc=a\nnonsense\n", NULL, "f:2: no colon" },
	{ "a colon alone", "dn: dc=a\n:x\n", NULL, "f:2: not an attribute name" },
	{ "a name with a blank", "dn: dc=a\nc n: x\n", NULL, "f:2: not an attribute name" },
	{ "no dn", "cn: x\n", NULL, "f:1: a record must begin with \"dn:\"" },
	{ "dn inside a record", "dn: dc=a\ncn: x\ndn: dc=b\n", NULL, "f:3: \"dn\" inside a record" },
	{ "a value from a file", "dn: dc=a\ncn:< file:///etc/passwd\n", NULL, "f:2: values from a URL (\":<\") are not allowed" },
	{ "a value from a file, folded", "dn: dc=a\ncn:\n < file:///etc/passwd\n", NULL, "f:2: values from a URL (\":<\") are not allowed" },
	{ "a value that looks like one", "dn: dc=a\ncn: < x\n", "1 dc=a|cn=< x\n", NULL },
	{ "include", "include: file:///etc/passwd\n", NULL, "f:1: \"include\" is not allowed" },
	{ "include, folded, in capitals", "dn: dc=a\n\nINCL\n UDE: file:///etc/passwd\n", NULL, "f:3: \"include\" is not allowed" },
	{ "a change record", "dn: dc=a\nchangetype: delete\n", NULL, "f:2: change records are not allowed" },
	{ "controls", "dn: dc=a\ncontrol: 1.2.3\n", NULL, "f:2: change records are not allowed" },
	{ "a separator of changes", "dn: dc=a\n-\n", NULL, "f:2: no colon" },
	{ "a DN twice", "dn: dc=a\n\ndn: dc=b\n\ndn: DC=A\n", NULL, "f:5: the DN was there before, in line 1" },
	{ "an entryUUID twice", "dn: dc=a\nentryUUID: " UUID "\n\ndn: dc=b\nentryUUID: " UUID "\n", NULL,
	  "f:4: the entryUUID was there before, in line 1" },
	{ "an entryUUID that is none", "dn: dc=a\nentryUUID: 1\n", NULL, "f:1: entryUUID is not one UUID" },
	{ "an entryUUID with braces", "dn: dc=a\nentryUUID: {" UUID "}\n", NULL, "f:1: entryUUID is not one UUID" },
	{ "two entryUUIDs", "dn: dc=a\nentryUUID: " UUID "\nentryUUID: 697ae2f6-16a6-1027-98f4-d28b5365dc14\n", NULL,
	  "f:1: entryUUID is not one UUID" },
	{ "a DN that is none is for the mapping to refuse", "dn: nonsense\n", "1 nonsense\n", NULL },
};
/* clang-format on */

START_TEST(reads_content_records)
{
	const struct row *row = &rows[_i];
	struct reading reading;
	struct errbuf err;
	enum status status = read_text(row->text, strlen(row->text), &reading, &err);

	if (row->entries) {
		ck_assert_msg(status == CX_OK, "%s: %s", row->label, err.text);
		unit_assert_span(buf_span(&reading.text), row->entries, row->label);
	} else {
		unit_assert_status(status, CX_EINVAL, row->label);
		unit_assert_span(span_of(err.text), row->error, row->label);
	}
	buf_release(&reading.text);
}
END_TEST

START_TEST(refuses_nul_bytes)
{
	static const char text[] = "dn: dc=a\ncn: x\0y\n";
	struct reading reading;
	struct errbuf err;

	unit_assert_status(read_text(text, sizeof(text) - 1, &reading, &err), CX_EINVAL,
	    "NUL");
	ck_assert_str_eq(err.text, "f:2: a NUL byte");
	ck_assert_uint_eq(reading.count, 0);
	buf_release(&reading.text);
}
END_TEST

START_TEST(never_reads_past_any_prefix)
{
	static const char text[] =
	    "version: 1\n# c\ndn:: ZGM9YQ==\ncn: a\n b\r\nsn::\n eA==\n\ndn: dc=b\n";
	struct reading reading;
	struct errbuf err;

	for (size_t len = 0; len < sizeof(text); len++) {
		read_text(text, len, &reading, &err);
		buf_release(&reading.text);
	}
}
END_TEST

START_TEST(identity_is_the_uuid_else_the_normalised_dn)
{
	struct reading a, b, c;
	struct errbuf err;
	static const uint8_t uuid[16] = { 0x59, 0x7a, 0xe2, 0xf6, 0x16, 0xa6, 0x10,
		0x27, 0x98, 0xf4, 0xd2, 0x8b, 0x53, 0x65, 0xdc, 0x14 };
	static const char with[] = "dn: dc=a\nentryUUID: " UUID "\n";
	static const char spelled[] = "dn: CN=Adam  Barr , dc=a\n";
	static const char plain[] = "dn: cn=adam barr,DC=A\n";

	ck_assert_int_eq(read_text(with, strlen(with), &a, &err), CX_OK);
	ck_assert_mem_eq(a.last_uuid, uuid, 16);
	ck_assert_int_eq(read_text(spelled, strlen(spelled), &b, &err), CX_OK);
	ck_assert_int_eq(read_text(plain, strlen(plain), &c, &err), CX_OK);
	ck_assert_mem_eq(b.last_uuid, c.last_uuid, 16);
	ck_assert_mem_ne(a.last_uuid, c.last_uuid, 16);
	buf_release(&a.text);
	buf_release(&b.text);
	buf_release(&c.text);
}
END_TEST

static enum status stop(void *context, const struct ldif_entry *entry)
{
	(void)entry;
	(*(unsigned *)context)++;
	return CX_ETEMP;
}

START_TEST(ends_where_the_visitor_says)
{
	char text[] = "dn: dc=a\n\ndn: dc=b\n\n ";
	struct errbuf err;
	unsigned count = 0;

	unit_assert_status(ldif_parse("f", "/tmp", text, sizeof(text) - 1, stop, &count, &err),
	    CX_ETEMP, "visit");
	ck_assert_uint_eq(count, 1);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("ldif");
	TCase *parse = tcase_create("parse");

	tcase_add_loop_test(parse, reads_content_records, 0,
	    (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(parse, refuses_nul_bytes);
	tcase_add_test(parse, never_reads_past_any_prefix);
	tcase_add_test(parse, identity_is_the_uuid_else_the_normalised_dn);
	tcase_add_test(parse, ends_where_the_visitor_says);
	suite_add_tcase(suite, parse);
	return suite;
}
