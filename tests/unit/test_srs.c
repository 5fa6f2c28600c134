#include "config.h"

#include <stdio.h>

#include "forward/srs.h"
#include "tests/unit/signing.h"
#include "tests/unit/unit.h"

#define ROWS(table) (int)(sizeof(table) / sizeof((table)[0]))

enum {
	DAY = 24 * 60 * 60,
	NOW = 1795313003, /* the day whose stamp is JL */
	MAX_AGE = 21 * DAY,
};

/* clang-format off */

/* What postsrsd 1.10 answers for these under the secret of setup() on that day. */
static const struct {
	const char *sender, *rewritten;
} vectors[] = {
	{ "carol@partner.example", "SRS0=iOGL=JL=partner.example=carol@srs.acme.example" },
	{ "Anne.O'Hara@example.com", "SRS0=ZbRL=JL=example.com=Anne.O'Hara@srs.acme.example" },
	{ "SRS0=abcd=AB=other.example=user@forwarder.example",
	  "SRS1=0Jmq=forwarder.example==abcd=AB=other.example=user@srs.acme.example" },
	{ "SRS0+abcd=AB=other.example=user@forwarder.example",
	  "SRS1=+vI9=forwarder.example=+abcd=AB=other.example=user@srs.acme.example" },
	{ "a=b@x.example", "SRS0=jwC0=JL=x.example=a=b@srs.acme.example" },
	{ "a b@partner.example", "SRS0=IYsn=JL=partner.example=a b@srs.acme.example" },
	{ "j\xc3\xb6s\xc3\xa9@partner.example", "SRS0=7DFZ=JL=partner.example=j\xc3\xb6s\xc3\xa9@srs.acme.example" },
};

/* What comes back to us. */
static const struct {
	const char *label, *address;
	enum status status;
	const char *sender;
} reversed[] = {
	{ "as made", "SRS0=iOGL=JL=partner.example=carol@srs.acme.example", CX_OK, "carol@partner.example" },
	{ "in capitals", "SRS0=IOGL=JL=PARTNER.EXAMPLE=CAROL@srs.acme.example", CX_OK, "CAROL@partner.example" },
	{ "in small letters", "srs0=iogl=jl=partner.example=carol@srs.acme.example", CX_OK, "carol@partner.example" },
	{ "another separator", "SRS0-iOGL=JL=partner.example=carol@srs.acme.example", CX_OK, "carol@partner.example" },
	{ "a longer hash", "SRS0=iOGLGAvW=JL=partner.example=carol@srs.acme.example", CX_OK, "carol@partner.example" },
	{ "a whole hash", "SRS0=iOGLGAvWNTbEe5XurVwCLiphDtE=JL=partner.example=carol@srs.acme.example", CX_OK, "carol@partner.example" },
	{ "a longer hash, forged", "SRS0=iOGLGAvX=JL=partner.example=carol@srs.acme.example", CX_EINVAL, NULL },
	{ "longer than hashes are", "SRS0=iOGLGAvWNTbEe5XurVwCLiphDtEx=JL=partner.example=carol@srs.acme.example", CX_EINVAL, NULL },
	{ "of a later one", "SRS1=chog=orig.example==abcd=AB=other.example=user@srs.acme.example", CX_OK,
	  "SRS0=abcd=AB=other.example=user@orig.example" },
	{ "a forged hash", "SRS0=iOGM=JL=partner.example=carol@srs.acme.example", CX_EINVAL, NULL },
	{ "a short hash", "SRS0=iOG=JL=partner.example=carol@srs.acme.example", CX_EINVAL, NULL },
	{ "another day", "SRS0=iOGL=JK=partner.example=carol@srs.acme.example", CX_EINVAL, NULL },
	{ "another domain", "SRS0=iOGL=JL=partner.test=carol@srs.acme.example", CX_EINVAL, NULL },
	{ "another user", "SRS0=iOGL=JL=partner.example=dave@srs.acme.example", CX_EINVAL, NULL },
	{ "a day that is none", "SRS0=iOGL=J1=partner.example=carol@srs.acme.example", CX_EINVAL, NULL },
	{ "no user", "SRS0=iOGL=JL=partner.example=@srs.acme.example", CX_EINVAL, NULL },
	{ "no domain", "SRS0=iOGL=JL==carol@srs.acme.example", CX_EINVAL, NULL },
	{ "only a hash", "SRS0=iOGL@srs.acme.example", CX_EINVAL, NULL },
	{ "only a tag", "SRS0=@srs.acme.example", CX_EINVAL, NULL },
	{ "a later one, forged", "SRS1=chpg=orig.example==abcd=AB=other.example=user@srs.acme.example", CX_EINVAL, NULL },
	{ "a later one of nothing", "SRS1=chog=orig.example=@srs.acme.example", CX_EINVAL, NULL },
	{ "a later one, no separator", "SRS1=chog=orig.example=abcd=AB=x=y@srs.acme.example", CX_EINVAL, NULL },
	{ "only a later tag", "SRS1+@srs.acme.example", CX_EINVAL, NULL },
	{ "no separator", "SRS0@srs.acme.example", CX_NOTFOUND, NULL },
	{ "a name that begins so", "srs0x=y@srs.acme.example", CX_NOTFOUND, NULL },
	{ "anybody", "carol@srs.acme.example", CX_NOTFOUND, NULL },
};
/* clang-format on */

static void assert_address(const struct address *address, const char *expected,
    const char *label)
{
	struct buf out;

	buf_init(&out);
	buf_add(&out, address->local, address->local_len);
	buf_add_char(&out, '@');
	buf_add(&out, address->domain, address->domain_len);
	unit_assert_span(buf_span(&out), expected, label);
	buf_release(&out);
}

static enum status forward(const char *sender, int64_t now, struct address *out)
{
	struct address address = signing_address(sender);

	return srs_forward(signing_secrets, &address, SPAN("srs.acme.example"), now, out);
}

static enum status reverse(const char *text, int64_t now, struct address *out)
{
	struct address address = signing_address(text);

	return srs_reverse(signing_secrets, &address, now, MAX_AGE, out);
}

START_TEST(rewrites_as_postsrsd_does)
{
	struct address out;

	unit_assert_status(forward(vectors[_i].sender, NOW, &out), CX_OK, vectors[_i].sender);
	assert_address(&out, vectors[_i].rewritten, vectors[_i].sender);
}
END_TEST

START_TEST(what_it_rewrites_comes_back)
{
	struct address out;

	unit_assert_status(reverse(vectors[_i].rewritten, NOW, &out), CX_OK, vectors[_i].sender);
	assert_address(&out, vectors[_i].sender, vectors[_i].sender);
}
END_TEST

START_TEST(takes_back_only_what_is_genuine)
{
	struct address out;

	unit_assert_status(reverse(reversed[_i].address, NOW, &out), reversed[_i].status,
	    reversed[_i].label);
	if (reversed[_i].sender) {
		assert_address(&out, reversed[_i].sender, reversed[_i].label);
	}
}
END_TEST

START_TEST(senders_that_only_look_like_it_are_rewritten_like_all)
{
	static const char *const senders[] = { "SRS0@x.example", "srs1-x@y.example",
		"SRS1=a=b@y.example", "SRS0=@x.example", "a\"b c@x.example" };
	struct address out, back;

	for (size_t i = 0; i < sizeof(senders) / sizeof(senders[0]); i++) {
		unit_assert_status(forward(senders[i], NOW, &out), CX_OK, senders[i]);
		ck_assert_mem_eq(out.local, "SRS0=", 5);
		unit_assert_status(srs_reverse(signing_secrets, &out, NOW, MAX_AGE, &back), CX_OK,
		    senders[i]);
		assert_address(&back, senders[i], senders[i]);
	}
}
END_TEST

START_TEST(expires_after_its_days_however_often_the_days_wrap)
{
	struct address made, out;

	for (int64_t start = NOW; start < NOW + (int64_t)2048 * DAY; start += 333 * DAY) {
		ck_assert_int_eq(forward("carol@partner.example", start, &made), CX_OK);
		ck_assert_int_eq(
		    srs_reverse(signing_secrets, &made, start + 21 * DAY, MAX_AGE, &out), CX_OK);
		ck_assert_int_eq(
		    srs_reverse(signing_secrets, &made, start + 22 * DAY, MAX_AGE, &out), CX_EINVAL);
		/* Another machine's clock was ahead of ours. */
		ck_assert_int_eq(srs_reverse(signing_secrets, &made, start - DAY, MAX_AGE, &out), CX_OK);
		ck_assert_int_eq(
		    srs_reverse(signing_secrets, &made, start - 2 * DAY, MAX_AGE, &out), CX_EINVAL);
	}
}
END_TEST

START_TEST(the_first_secret_signs_and_all_verify)
{
	const struct secrets *later = signing_other_secrets("another", "tops3cret");
	const struct secrets *none = signing_other_secrets(NULL, NULL);
	struct address sender = signing_address("carol@partner.example"), old, new, out;

	ck_assert_int_eq(forward("carol@partner.example", NOW, &old), CX_OK);
	ck_assert_int_eq(srs_reverse(later, &old, NOW, MAX_AGE, &out), CX_OK);
	ck_assert_int_eq(srs_forward(later, &sender, SPAN("srs.acme.example"), NOW, &new), CX_OK);
	ck_assert_int_eq(srs_reverse(signing_secrets, &new, NOW, MAX_AGE, &out), CX_EINVAL);
	ck_assert_int_eq(srs_reverse(none, &new, NOW, MAX_AGE, &out), CX_ETEMP);
	ck_assert_int_eq(srs_forward(none, &sender, SPAN("srs.acme.example"), NOW, &new), CX_ETEMP);
}
END_TEST

START_TEST(what_grows_too_long_is_left_alone)
{
	char text[ADDRESS_LOCAL_MAX + 32];
	struct address out, back;

	/* "SRS0=hash=JL=x.example=" before it. */
	snprintf(text, sizeof(text), "%s@x.example", unit_repeat('a', ADDRESS_LOCAL_MAX - 23));
	unit_assert_status(forward(text, NOW, &out), CX_OK, "just fits");
	ck_assert_uint_eq(out.local_len, ADDRESS_LOCAL_MAX);
	unit_assert_status(srs_reverse(signing_secrets, &out, NOW, MAX_AGE, &back), CX_OK, "and back");
	snprintf(text, sizeof(text), "%s@x.example", unit_repeat('a', ADDRESS_LOCAL_MAX - 22));
	unit_assert_status(forward(text, NOW, &out), CX_ETOOLONG, "one more");
}
END_TEST

START_TEST(secrets_are_few_and_short)
{
	const char *text = unit_repeat('x', SECRET_LENGTH_MAX + 1);
	unsigned char mac[SECRET_MAC_SIZE];

	ck_assert(!secrets_add(signing_secrets, SPAN("")));
	ck_assert(!secrets_add(signing_secrets, span_of(text)));
	for (size_t i = 1; i < SECRETS_MAX; i++) {
		ck_assert(secrets_add(signing_secrets, (struct span){ text, SECRET_LENGTH_MAX }));
	}
	ck_assert(!secrets_add(signing_secrets, SPAN("y")));
	ck_assert_uint_eq(secrets_mac(signing_secrets, 0, SECRET_SHA1, NULL, 0, mac), 20);
	ck_assert_uint_eq(secrets_mac(signing_secrets, SECRETS_MAX, SECRET_SHA1, NULL, 0, mac), 0);
}
END_TEST

/* RFC 2202 and RFC 4231, test case 2. */
START_TEST(digests_are_those_of_the_rfcs)
{
	static const unsigned char sha1[] = { 0xef, 0xfc, 0xdf, 0x6a, 0xe5, 0xeb };
	static const unsigned char sha256[] = { 0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60 };
	const struct span parts[] = { SPAN("what do ya want "), SPAN(""), SPAN("for nothing?") };
	unsigned char mac[SECRET_MAC_SIZE];

	secrets_init(signing_secrets);
	ck_assert(secrets_add(signing_secrets, SPAN("Jefe")));
	ck_assert_uint_eq(secrets_mac(signing_secrets, 0, SECRET_SHA1, parts, 3, mac), 20);
	ck_assert_mem_eq(mac, sha1, sizeof(sha1));
	ck_assert_uint_eq(secrets_mac(signing_secrets, 0, SECRET_SHA256, parts, 3, mac), 32);
	ck_assert_mem_eq(mac, sha256, sizeof(sha256));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("srs");
	TCase *tcase = tcase_create("all");

	tcase_add_checked_fixture(tcase, signing_setup, signing_teardown);
	tcase_add_loop_test(tcase, rewrites_as_postsrsd_does, 0, ROWS(vectors));
	tcase_add_loop_test(tcase, what_it_rewrites_comes_back, 0, ROWS(vectors));
	tcase_add_loop_test(tcase, takes_back_only_what_is_genuine, 0, ROWS(reversed));
	tcase_add_test(tcase, senders_that_only_look_like_it_are_rewritten_like_all);
	tcase_add_test(tcase, expires_after_its_days_however_often_the_days_wrap);
	tcase_add_test(tcase, the_first_secret_signs_and_all_verify);
	tcase_add_test(tcase, what_grows_too_long_is_left_alone);
	tcase_add_test(tcase, secrets_are_few_and_short);
	tcase_add_test(tcase, digests_are_those_of_the_rfcs);
	suite_add_tcase(suite, tcase);
	return suite;
}
