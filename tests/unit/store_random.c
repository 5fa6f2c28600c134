#include "config.h"

#include "store_random.h"

#include "replica/store_lmdb.h"
#include "unit.h"

static uint32_t random_state = 1;

void random_seed(unsigned seed)
{
	random_state = 2463534242U + seed * 7919;
}

unsigned random_below(unsigned limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state % limit;
}

/* clang-format off */
const char *const random_addresses[RANDOM_ADDRESSES] = {
	"a@acme.example", "B@acme.example", "b@ACME.example", "\"a\"@acme.example",
	"c@acme.example", "smtp:c@acme.example", "MS:ACME/PO/A", "ms:acme/po/a",
	"X400:c=us;a=att;p=acme;s=a", "d@other.example", "d@other.example.", "not an address",
	"", "@", "NOTES:a",
};
static const char *const names[] = { "siteb", "SiteB", "sitec", "", "x" };
static const char *const dns[] = { "cn=a,dc=x", "CN=A, DC=X", "cn=b,dc=x", "no dn", "" };
static const char *const dn_keys[] = { "dn:cn=a,dc=x", "dn:cn=b,dc=x", "dn:cn=c", "" };
static const char *const logins[] = { "a", "b", "c", "" };
static const char *const domains[] = { "acme.example", "*.acme.example", "x.example", "" };
static const char *const spaces[] = {
	"SMTP:*", "SMTP:*;5", "SMTP:pop.example.com", "SMTP:*@pop.example.com;1",
	"SMTP:*.example.com", "MS:ACME/PO", "MS:ACME/PO/", "X400:c=us;a=att", "FAX:5*",
	"SMTP:a@acme.example", "",
};
static const char *const nets[] = {
	"192.0.2.0/24", "!192.0.2.0/24", "192.0.2.9", "!192.0.2.9", "2001:db8::/32",
	"::/0", "nonsense", "",
};
static const char *const certificates[] = { "ab", "cd", "" };
/* clang-format on */

#define PUT_SOME(tag, set, most) \
 put_some(buf, (tag), (set), sizeof(set) / sizeof((set)[0]), (most))

static void put_some(struct buf *buf, enum record_tag tag, const char *const *set, unsigned size,
    unsigned most)
{
	for (unsigned n = random_below(most + 1); n > 0; n--) {
		record_put(buf, tag, span_of(set[random_below(size)]));
	}
}

static void make_recipient(struct buf *buf)
{
	PUT_SOME(TAG_DN, dns, 1);
	record_put_flags(buf, random_below(64));
	PUT_SOME(TAG_PRIMARY, random_addresses, 2);
	PUT_SOME(TAG_MAIL, random_addresses, 2);
	PUT_SOME(TAG_PROXY, random_addresses, 3);
	PUT_SOME(TAG_TARGET, random_addresses, 1);
	PUT_SOME(TAG_ALT_KEY, dn_keys, 2);
	PUT_SOME(TAG_LOGIN, logins, 2);
	PUT_SOME(TAG_MEMBER_KEY, dn_keys, 3);
}

static void make_connector(struct buf *buf)
{
	record_put_flags(buf, random_below(4) == 0 ? 1 : 0);
	PUT_SOME(TAG_NAME, names, 1);
	PUT_SOME(TAG_SPACE, spaces, 4);
	PUT_SOME(TAG_PEER, nets, 3);
	PUT_SOME(TAG_RELAY_CLIENT, nets, 3);
	PUT_SOME(TAG_RELAY_CERTIFICATE, certificates, 2);
}

struct span random_record(struct buf *buf)
{
	switch (random_below(8)) {
	case 0:
		record_begin(buf, RECORD_CONTAINER);
		PUT_SOME(TAG_DN, dns, 1);
		break;
	case 1:
		record_begin(buf, RECORD_DOMAIN);
		PUT_SOME(TAG_DOMAIN, domains, 3);
		record_put_byte(buf, TAG_DOMAIN_TYPE,
		    (uint8_t)(1 + random_below(4)));
		break;
	case 2:
	case 3:
		record_begin(buf, RECORD_CONNECTOR);
		make_connector(buf);
		break;
	default:
		record_begin(buf, RECORD_RECIPIENT);
		make_recipient(buf);
		break;
	}
	ck_assert(!buf->failed);
	return buf_span(buf);
}

void random_dump(struct store_writer *writer, struct buf *out)
{
	for (unsigned db = 0; db < DB_COUNT; db++) {
		MDB_cursor *cursor;
		MDB_val key, value;

		ck_assert_int_eq(mdb_cursor_open(writer->txn,
				     writer_env(writer)->dbi[db], &cursor),
		    0);
		while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == MDB_SUCCESS) {
			if (db == DB_META &&
			    span_equal(span_of_val(key), SPAN(META_HEAD))) {
				continue;
			}
			buf_printf(out, "%u ", db);
			buf_add_escaped(out, span_of_val(key));
			buf_add_text(out, " ");
			buf_add_escaped(out, span_of_val(value));
			buf_add_text(out, "\n");
		}
		mdb_cursor_close(cursor);
	}
	ck_assert(!out->failed);
}

void random_assert_equal(const char *ours, const char *fresh)
{
	size_t at = 0, line = 0;

	while (ours[at] && ours[at] == fresh[at]) {
		if (ours[at++] == '\n') {
			line = at;
		}
	}
	ck_assert_msg(ours[at] == fresh[at], "\"%.200s\", not \"%.200s\"", ours + line,
	    fresh + line);
}
