#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/conf.h"
#include "unit.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The least that is right; its one line comes first, so that rows begin in line 2. */
#define DIRECTORY "directory \"corp\" { ldif = \"/d.ldif\" }\n"
#define LDAP(more) \
 "directory \"corp\" {\nuri = \"ldap://h\"\nbase = \"dc=acme\"\n" more "\n}\n"

static enum status parse(const char *text, struct conf **conf, struct errbuf *err)
{
	size_t len = strlen(text);
	char *copy = unit_copy(text, len);
	enum status status =
	    conf_parse("t.conf", "/etc/t/t.conf", copy, len, conf, err);

	free(copy);
	return status;
}

static struct conf *parse_ok(const char *text)
{
	struct conf *conf = NULL;
	struct errbuf err = { "" };
	enum status status = parse(text, &conf, &err);

	ck_assert_msg(status == CX_OK, "%s", err.text);
	return conf;
}

/* clang-format off */
static const struct {
	const char *text;
	const char *message;
} wrong[] = {
	/* sections */
	{ "", "t.conf:1: there is no directory section" },
	{ "# nothing\n\nobserve = true\n", "t.conf:4: there is no directory section" },
	{ "directory { ldif = \"/d\" }", "t.conf:1: missing title for section 'directory'" },
	{ "directory \"a b\" { ldif = \"/d\" }", "t.conf:1: directory: 'a b' is not one word of at most "
	    "64 letters, digits, '-', '.' and '_'" },
	{ DIRECTORY DIRECTORY, "t.conf:2: directory 'corp' is there twice" },
	{ DIRECTORY "milter { }\nsyncd { }\nmilter {\n}\n", "t.conf:5: section 'milter' is there twice" },
	{ DIRECTORY "milter {\nenforce = true\n", "t.conf:2: this '{' is not closed" },
	{ DIRECTORY "secret_file = {\"/a\",\n\"/b\"\n", "t.conf:2: this '{' is not closed" },
	{ DIRECTORY "observe =\n", "t.conf:3: the file ends in the middle of an option" },
	{ DIRECTORY "milter\n", "t.conf:3: the file ends in the middle of an option" },
	{ DIRECTORY "a{b{\nc{d{", "t.conf:3: unexpected '{'" },
	{ DIRECTORY "}\n", "t.conf:2: this '}' closes nothing" },
	/* keys */
	{ DIRECTORY "reciepient_delimiter = \"-\"\n",
	    "t.conf:2: unknown option 'reciepient_delimiter', did you mean 'recipient_delimiter'?" },
	{ DIRECTORY "milter {\n  lisen = \"unix:/m\"\n}\n", "t.conf:3: unknown option 'lisen', did you mean 'listen'?" },
	{ "directory \"corp\" { bind_password = \"x\" }\n",
	    "t.conf:1: unknown option 'bind_password', did you mean 'bind_password_file'?" },
	{ "directory \"corp\" { ca_file = \"x\" }\n", "t.conf:1: unknown option 'ca_file', did you mean 'tls_ca_file'?" },
	{ DIRECTORY "milters { }\n", "t.conf:2: unknown option 'milters', did you mean 'milter'?" },
	{ DIRECTORY "frobnicate = 1\n", "t.conf:2: unknown option 'frobnicate'" },
	{ DIRECTORY "srs { frobnicate = 1 }\n", "t.conf:2: unknown option 'frobnicate' in srs" },
	{ DIRECTORY "policy_listen = \"unix:/p\"\n",
	    "t.conf:2: option 'policy_listen' does not belong here, but in policyd" },
	{ DIRECTORY "metrics_listen = \"inet:127.0.0.1:1\"\n",
	    "t.conf:2: option 'metrics_listen' does not belong here, but in syncd or milter or policyd" },
	{ DIRECTORY "milter { worker = 3 }\n",
	    "t.conf:2: unknown option 'worker', did you mean 'workers', which belongs in policyd?" },
	{ DIRECTORY "log { enforcesender = true }\n",
	    "t.conf:2: unknown option 'enforcesender', did you mean 'enforce_sender', which belongs in "
	    "the top level?" },
	{ DIRECTORY "Max-Depth = 3\n", "t.conf:2: unknown option 'Max-Depth', did you mean 'max_depth'?" },
	{ DIRECTORY "observe: true\n", "t.conf:2: unknown option 'observe:', did you mean 'observe'?" },
	{ DIRECTORY "organization = acme corp\n",
	    "t.conf:2: unknown option 'corp' (a value with a blank in it needs quotes)" },
	{ DIRECTORY "observe = true;\n", "t.conf:2: observe: 'true;' is neither true nor false" },
	{ DIRECTORY "log { observe = true }\n",
	    "t.conf:2: option 'observe' does not belong here, but in the top level" },
	{ LDAP("target_address = \"x\""),
	    "t.conf:4: option 'target_address' does not belong here, but in attributes" },
	{ DIRECTORY "milter|enforce = true\n", "t.conf:2: option 'enforce' does not belong here, but in milter" },
	{ DIRECTORY "\"observe\" = true\n", "t.conf:2: the name of an option has no quotes" },
	{ DIRECTORY "log { '' }\n", "t.conf:2: the name of an option has no quotes" },
	{ DIRECTORY "local_servers = {\"a\"} \"observe\" = true\n",
	    "t.conf:2: the name of an option has no quotes" },
	{ "directory \"\" { ldif = \"/d\" }", "t.conf:1: directory: the name is empty" },
	{ DIRECTORY "observe = true\n\n\nobserve = false\n", "t.conf:5: option 'observe' was already set in line 2" },
	{ DIRECTORY "milter { enforce = true enforce = true }\n",
	    "t.conf:2: option 'enforce' was already set in line 2" },
	{ DIRECTORY "local_servers = {\"a\",\n\"b\"}\nlocal_servers = {\"c\"}\n",
	    "t.conf:4: option 'local_servers' was already set in line 3" },
	{ DIRECTORY "secret_file = \"/a\"\nsecret_file = \"/b\"\n",
	    "t.conf:3: option 'secret_file' was already set in line 2" },
	{ DIRECTORY "observe true\n", "t.conf:2: missing equal sign after option 'observe'" },
	{ DIRECTORY "\nlocal_servers = \"a\", \"b\"\n",
	    "t.conf:3: unexpected ',': a list needs braces, {\"a\", \"b\"}, and a value with a comma in it, as dc=acme,dc=example, needs quotes" },
	{ "directory \"corp\" {\nbase = dc=acme,dc=example\n}\n",
	    "t.conf:2: unexpected ',': a list needs braces, {\"a\", \"b\"}, and a value with a comma in it, as dc=acme,dc=example, needs quotes" },
	{ DIRECTORY "observe = {true}\n", "t.conf:2: unexpected token '{': only lists and sections have braces" },
	/* text: what libconfuse would take in silence */
	{ DIRECTORY "user = \"${HOME}\"\n",
	    "t.conf:2: ${...} is not replaced here; to mean it literally, use single quotes" },
	{ DIRECTORY "user = ${HOME}\n", "t.conf:2: ${...} is not replaced here" },
	{ DIRECTORY "user = a${HOME}\n", "t.conf:2: ${...} is not replaced here" },
	{ DIRECTORY "user = \"a\\b\"\n", "t.conf:2: in double quotes a backslash stands before \\, \" and $ only; "
	    "use single quotes, or \\\\" },
	{ DIRECTORY "user = \"a\n\"\n", "t.conf:2: this string is not closed" },
	{ DIRECTORY "user = 'a", "t.conf:2: this string is not closed" },
	{ DIRECTORY "/* a\n\n", "t.conf:2: this comment is not closed" },
	{ DIRECTORY "local_servers += {\"a\"}\n", "t.conf:2: '+=' is not used here: write the whole list" },
	{ DIRECTORY "recipient_delimiter = +\n", "t.conf:2: unexpected '+': such a value needs quotes" },
	{ DIRECTORY "user = a\x01\n", "t.conf:2: control character" },
	{ DIRECTORY "user = \"a\x7f\"\n", "t.conf:2: control character in a string" },
	{ DIRECTORY "user = \"\xff\"\n", "t.conf:2: user: this value is not in UTF-8" },
	/* comments do not shift the lines */
	{ DIRECTORY "# one\n// two\n/* three\nfour */\nbad = 1\n", "t.conf:6: unknown option 'bad'" },
	/* values */
	{ DIRECTORY "observe = maybe\n", "t.conf:2: observe: 'maybe' is neither true nor false" },
	{ DIRECTORY "observe = \"\"\n", "t.conf:2: observe: this may not be empty" },
	{ DIRECTORY "replica = \"\"\n", "t.conf:2: replica: this may not be empty" },
	{ DIRECTORY "local_servers = {\"a\", \"\"}\n", "t.conf:2: local_servers: an empty value in a list" },
	{ DIRECTORY "max_depth = 0\n", "t.conf:2: max_depth: '0' is not a number from 1 to 64" },
	{ DIRECTORY "max_depth = 65\n", "t.conf:2: max_depth: '65' is not a number from 1 to 64" },
	{ DIRECTORY "max_depth = -1\n", "t.conf:2: max_depth: '-1' is not a number from 1 to 64" },
	{ DIRECTORY "max_depth = 0x10\n", "t.conf:2: max_depth: '0x10' is not a number from 1 to 64" },
	{ DIRECTORY "max_deliveries = 99999999999999999999999\n", "t.conf:2: max_deliveries: "
	    "'99999999999999999999999' is not a number from 1 to 100000" },
	{ DIRECTORY "max_staleness = \"1w\"\n", "t.conf:2: max_staleness: '1w' is not a time "
	    "(say 500ms, 10s, 15m, 1h or 7d)" },
	{ DIRECTORY "max_staleness = \"0s\"\n", "t.conf:2: max_staleness: '0s' is not between 1s and 3650d" },
	{ DIRECTORY "max_staleness = 1500ms\n", "t.conf:2: max_staleness: '1500ms' is not in whole seconds" },
	{ DIRECTORY "recipient_delimiter = \"+@\"\n",
	    "t.conf:2: recipient_delimiter: '@' cannot delimit an extension in '+@'" },
	{ DIRECTORY "recipient_delimiter = '\"'\n",
	    "t.conf:2: recipient_delimiter: '\"' cannot delimit an extension in '\"'" },
	{ DIRECTORY "recipient_delimiter = \".\"\n",
	    "t.conf:2: recipient_delimiter: '.' cannot delimit an extension in '.'" },
	{ DIRECTORY "recipient_delimiter = \"=\"\n",
	    "t.conf:2: recipient_delimiter: '=' cannot delimit an extension in '='" },
	{ DIRECTORY "recipient_delimiter = \"a\"\n",
	    "t.conf:2: recipient_delimiter: 'a' cannot delimit an extension in 'a'" },
	{ DIRECTORY "recipient_delimiter = \"+\xc3\xa9\"\n",
	    "t.conf:2: recipient_delimiter: '\xc3\xa9' cannot delimit an extension in '+\xc3\xa9'" },
	{ DIRECTORY "organization = \"A B\"\n", "t.conf:2: organization: 'A B' is not one word of at most 64 "
	    "letters, digits, '-', '.' and '_'" },
	{ DIRECTORY "postmaster = \"a@b..c\"\n", "t.conf:2: postmaster: 'a@b..c' is not a mail address" },
	{ DIRECTORY "postmaster = \"MS:A/B/C\"\n", "t.conf:2: postmaster: 'MS:A/B/C' is not a mail address" },
	{ DIRECTORY "user = \"a:b\"\n", "t.conf:2: user: 'a:b' is not the name of a user" },
	{ DIRECTORY "log { level = loud }\n", "t.conf:2: level: 'loud' is none of: error, warning, info, debug" },
	{ DIRECTORY "policyd { authenticated_relay = all }\n",
	    "t.conf:2: authenticated_relay: 'all' is none of: directory, any, none" },
	{ DIRECTORY "policyd { workers = 65 }\n", "t.conf:2: workers: '65' is not a number from 0 to 64" },
	{ DIRECTORY "policyd { mailbox_transport = \"dovecot\" }\n",
	    "t.conf:2: mailbox_transport: 'dovecot' is not 'transport:nexthop'" },
	{ DIRECTORY "policyd { mailbox_transport = \"error:5.1.1 no\" }\n",
	    "t.conf:2: mailbox_transport: 'error:5.1.1 no' has a blank or is too long" },
	{ DIRECTORY "policyd { mailbox_transport = \"retry:\" }\n",
	    "t.conf:2: mailbox_transport: 'retry:' would refuse all mail" },
	{ DIRECTORY "policyd { mailbox_transport = \"127.0.0.1:24\" }\n",
	    "t.conf:2: mailbox_transport: '127.0.0.1:24' is a host and a port, not "
	    "'transport:nexthop' (say lmtp:inet:host:port or smtp:[host]:port)" },
#define WRONG_HOP(hop) { DIRECTORY "srs { hop = \"" hop "\" }\n", \
	    "t.conf:2: hop: '" hop "' is not 'transport:[127.0.0.1]:port', a loopback address" }
	WRONG_HOP("127.0.0.1:10027"),
	WRONG_HOP("coexist-srs:127.0.0.1:10027"),
	WRONG_HOP("coexist-srs:[127.0.0.1]"),
	WRONG_HOP("coexist-srs:[192.0.2.1]:10027"),
	WRONG_HOP("coexist-srs:[127.0.0.1]:0"),
	WRONG_HOP("coexist-srs:[127.0.0.1]:65536"),
	WRONG_HOP("coexist-srs:[::1]:x"),
#undef WRONG_HOP
	{ DIRECTORY "srs { hop = \":[::1]:10027\" }\n",
	    "t.conf:2: hop: ':[::1]:10027' is not 'transport:nexthop'" },
	{ DIRECTORY "srs { enable = true }\n", "t.conf:2: srs needs a domain to be enabled" },
	{ DIRECTORY "srs { domain = \"a..b\" }\n", "t.conf:2: domain: 'a..b' is not a domain" },
	{ DIRECTORY "srs { max_age = \"1h\" }\n", "t.conf:2: max_age: '1h' is not between 1d and 1000d" },
	/* listeners */
	{ DIRECTORY "milter { listen = \"/m\" }\n",
	    "t.conf:2: listen: '/m' is neither unix:/path nor inet:host:port" },
	{ DIRECTORY "milter { listen = \"\" }\n", "t.conf:2: listen: this may not be empty" },
	{ DIRECTORY "milter { listen = \"unix:m\" }\n", "t.conf:2: listen: 'unix:m' needs an absolute path" },
	{ DIRECTORY "milter { metrics_listen = \"unix:/m\" }\n",
	    "t.conf:2: metrics_listen: 'unix:/m' must be inet:host:port" },
	{ DIRECTORY "syncd { control = \"inet:127.0.0.1:1\" }\n",
	    "t.conf:2: control: 'inet:127.0.0.1:1' must be a unix socket (unix:/path)" },
	{ DIRECTORY "policyd {\npolicy_listen = {\"unix:/a\",\n\"inet:::1:25\"}\n}\n",
	    "t.conf:4: policy_listen: 'inet:::1:25': an IPv6 address stands in []" },
	{ DIRECTORY "policyd {\npolicy_listen = {}\nmap_listen = {}\n}\n",
	    "t.conf:5: policy_listen and map_listen are both empty" },
	{ DIRECTORY "milter { listen = \"unix:/a\" }\npolicyd {\nmap_listen = \"unix:/a\"\n}\n",
	    "t.conf:4: map_listen 'unix:/a' is also listen of milter" },
	/* directories */
	{ "directory \"corp\" {\n\n}\n", "t.conf:3: directory 'corp' has neither uri nor ldif" },
	{ "directory \"corp\" {\nldif = \"/d\"\nuri = \"ldap://h\"\n}\n", "t.conf:2: directory 'corp' has both uri and ldif" },
	{ "directory \"corp\" {\nuri = \"ldap://h\"\n}\n", "t.conf:3: directory 'corp' has a uri, but no base" },
	{ "directory \"corp\" { uri = \"http://h\" }\n",
	    "t.conf:1: uri: 'http://h' is not ldap://host[:port], ldaps://host[:port] or ldapi://path" },
	{ "directory \"corp\" { uri = \"ldap://h/dc=x ldap://i\" }\n",
	    "t.conf:1: uri: 'ldap://h/dc=x' is not ldap://host[:port], ldaps://host[:port] or ldapi://path" },
	{ "directory \"corp\" { uri = \"ldap://\" }\n",
	    "t.conf:1: uri: 'ldap://' is not ldap://host[:port], ldaps://host[:port] or ldapi://path" },
	{ "directory \"corp\" { uri = \"ldaps://[2001:db8::1]:65536/\" }\n",
	    "t.conf:1: uri: 'ldaps://[2001:db8::1]:65536/' is not ldap://host[:port], ldaps://host[:port] or ldapi://path" },
	{ "directory \"corp\" { uri = \"ldap://h:\" }\n",
	    "t.conf:1: uri: 'ldap://h:' is not ldap://host[:port], ldaps://host[:port] or ldapi://path" },
	{ "directory \"corp\" { uri = \" \" }\n", "t.conf:1: uri: ' ' names no server" },
	{ "directory \"corp\" { base = \"acme\" }\n", "t.conf:1: base: 'acme' is not a distinguished name" },
	{ "directory \"corp\" {\nldif = \"/d\"\nfilter = \"(a=b)\"\n}\n",
	    "t.conf:3: directory 'corp': filter is for servers (uri), and does nothing with ldif" },
	{ "directory \"corp\" {\nfull_interval = 1h\nldif = \"/d\"\n}\n",
	    "t.conf:2: directory 'corp': full_interval is for servers (uri), and does nothing with ldif" },
	{ "directory \"corp\" {\nldif = \"/d\"\nbase = \"dc=acme\"\n}\n",
	    "t.conf:3: directory 'corp': with ldif, base does nothing without domains" },
	{ LDAP("filter = \"(a=b\""), "t.conf:4: filter: '(a=b' is an LDAP filter that is not closed" },
	{ LDAP("filter = \"(&(a=b)())\""),
	    "t.conf:4: filter: '(&(a=b)())' is an LDAP filter with nothing in its parentheses" },
	{ LDAP("filter = \"a=b\""), "t.conf:4: filter: 'a=b' is not an LDAP filter in parentheses" },
	{ LDAP("filter = \"(a=b)(c=d)\""), "t.conf:4: filter: '(a=b)(c=d)' is more than one LDAP filter" },
	{ LDAP("scope = \"all\""), "t.conf:4: scope: 'all' is none of: sub, one, base" },
	{ LDAP("mapping = \"ad\""), "t.conf:4: mapping: 'ad' is none of: coexist, exchange, laser" },
	{ LDAP("sync = never"), "t.conf:4: sync: 'never' is none of: auto, persist, poll" },
	{ LDAP("sasl_mech = PLAIN"), "t.conf:4: sasl_mech: 'PLAIN' is none of: EXTERNAL, GSSAPI" },
	{ LDAP("provides = {\"users\"}"), "t.conf:4: provides: 'users' is none of: recipients, domains, connectors" },
	{ LDAP("provides = {}"), "t.conf:5: directory 'corp' provides nothing" },
	{ LDAP("domains = {\"acme.example\",\n\"joe@acme.example\"}"),
	    "t.conf:5: domains: 'joe@acme.example' is not a domain" },
	{ LDAP("domains = {\"*\"}"), "t.conf:4: domains: '*' is not a domain" },
	{ LDAP("domains = {\"*.\"}"), "t.conf:4: domains: '' is not a domain" },
	{ LDAP("domains = {\"a.*.example\"}"), "t.conf:4: domains: 'a.*.example' is not a domain" },
	{ LDAP("attributes { login = \"uid;lang-de\" }"),
	    "t.conf:4: login: 'uid;lang-de' is not the name of an attribute" },
	{ LDAP("attributes {\nmail = \"1.2.840.113556.1.2.210\" }"),
	    "t.conf:5: mail: '1.2.840.113556.1.2.210' is not the name of an attribute" },
	{ LDAP("bind_dn = \"cn=a\""), "t.conf:4: directory 'corp': bind_dn needs a bind_password_file" },
	{ LDAP("bind_password_file = \"/p\""), "t.conf:4: directory 'corp': bind_password_file without a bind_dn" },
	{ LDAP("tls_cert_file = \"/c\""), "t.conf:4: directory 'corp': tls_cert_file and tls_key_file go together" },
	{ LDAP("timeout = \"99ms\""), "t.conf:4: timeout: '99ms' is not between 100ms and 1h" },
	{ LDAP("full_interval = \"0\""), "t.conf:4: full_interval: '0' is not between 100ms and 3650d" },
	{ LDAP("max_delete_percent = 101"), "t.conf:4: max_delete_percent: '101' is not a number from 0 to 100" },
	{ LDAP("attributes { login = \"uid )(\" }"), "t.conf:4: login: 'uid )(' is not the name of an attribute" },
	{ LDAP("attributes { target_adress = \"x\" }"),
	    "t.conf:4: unknown option 'target_adress', did you mean 'target_address'?" },
	{ "directory \"a\" {\nuri = \"ldap://h ldaps://i\"\nbase = \"dc=x\"\nstarttls = true\n}\n",
	    "t.conf:4: directory 'a': starttls is for ldap://, ldaps:// has TLS from the start" },
};
/* clang-format on */

START_TEST(says_where_and_what_is_wrong)
{
	struct conf *conf = NULL;
	struct errbuf err = { "" };

	unit_assert_status(parse(wrong[_i].text, &conf, &err), CX_ECONF,
	    wrong[_i].message);
	ck_assert_str_eq(err.text, wrong[_i].message);
	ck_assert_ptr_null(conf);
	/* and the next reading does not suffer from this one */
	conf_unref(parse_ok(DIRECTORY "user = \"joe\"\n"));
}
END_TEST

START_TEST(refuses_a_nul)
{
	char text[] = DIRECTORY "user = \"a\0b\"\n";
	struct conf *conf;
	struct errbuf err;

	unit_assert_status(conf_parse("t", "/t", text, sizeof(text) - 1, &conf, &err),
	    CX_ECONF, "NUL");
	ck_assert_str_eq(err.text, "t:2: control character in a string");
}
END_TEST

/* And reads no further: tens of thousands took libconfuse a minute. */
START_TEST(refuses_too_many_directories_where_they_become_too_many)
{
	struct conf *conf;
	struct errbuf err;
	struct buf text;

	buf_init(&text);
	for (int i = 0; i < 100; i++) {
		buf_printf(&text, "directory \"d%d\" { ldif = \"/d\" }\n", i);
	}
	unit_assert_status(parse(text.data, &conf, &err), CX_ECONF, "100");
	ck_assert_str_eq(err.text, "t.conf:33: more than 32 directories");
	buf_release(&text);
}
END_TEST

START_TEST(has_the_defaults_of_the_specification)
{
	struct conf *c = parse_ok(DIRECTORY);
	const struct settings *s = &c->settings;

	ck_assert_str_eq(c->path, "/etc/t/t.conf");
	ck_assert_str_eq(c->replica, "/var/lib/coexist");
	ck_assert_ptr_null(s->local_servers[0]);
	ck_assert_str_eq(s->recipient_delimiter, "+");
	ck_assert(!s->propagate_extension && s->rewrite_to_primary &&
		  !s->enforce_sender);
	ck_assert_str_eq(s->postmaster, "postmaster");
	ck_assert_uint_eq(s->max_depth, 16);
	ck_assert_uint_eq(s->max_deliveries, 10000);
	ck_assert(!s->observe);
	ck_assert_int_eq(s->max_staleness_s, 7 * 86400);
	ck_assert_int_eq(s->unknown_defer_after_s, 3600);
	ck_assert_str_eq(s->mailbox_transport, "");
	ck_assert_int_eq(s->authenticated_relay, AUTHENTICATED_RELAY_DIRECTORY);
	ck_assert_str_eq(c->secret_files[0], "/etc/coexist/secret");
	ck_assert_ptr_null(c->secret_files[1]);
	ck_assert_str_eq(c->user, "coexist");
	ck_assert_str_eq(c->syncd.control, "unix:/run/coexist/syncd");
	ck_assert_str_eq(c->syncd.user, "coexist");
	ck_assert_str_eq(c->syncd.metrics_listen, "");
	ck_assert_str_eq(c->milter.listen, "unix:/var/spool/postfix/coexist/milter");
	ck_assert(!c->milter.enforce);
	ck_assert_str_eq(c->policyd.policy_listen[0],
	    "unix:/var/spool/postfix/coexist/policy");
	ck_assert_ptr_null(c->policyd.policy_listen[1]);
	ck_assert_str_eq(c->policyd.map_listen[0],
	    "unix:/var/spool/postfix/coexist/map");
	ck_assert_uint_eq(c->policyd.workers, 0);
	ck_assert(!c->srs.enable);
	ck_assert_str_eq(c->srs.secret_files[0], "/etc/coexist/secret");
	ck_assert_int_eq(c->log_level, LOG_LEVEL_INFO);
	conf_unref(c);
}
END_TEST

START_TEST(has_the_directory_defaults_of_the_specification)
{
	struct conf *c = parse_ok(LDAP(""));
	const struct conf_directory *d = c->directories;

	ck_assert_uint_eq(c->directory_count, 1);
	ck_assert_str_eq(d->name, "corp");
	ck_assert_str_eq(d->uri, "ldap://h");
	ck_assert_str_eq(d->ldif, "");
	ck_assert_str_eq(d->base, "dc=acme");
	ck_assert_str_eq(d->scope, "sub");
	ck_assert_str_eq(d->filter, "");
	ck_assert_str_eq(d->mapping, "coexist");
	ck_assert_ptr_null(d->domains[0]);
	ck_assert_str_eq(d->bind_dn, "");
	ck_assert(!d->starttls && d->tls_verify);
	ck_assert_int_eq(d->timeout_ms, 10000);
	ck_assert_int_eq(d->sync, SYNC_AUTO);
	ck_assert_int_eq(d->poll_interval_ms, 60000);
	ck_assert_int_eq(conf_full_interval_ms(d, true), 15 * 60 * 1000);
	ck_assert_int_eq(conf_full_interval_ms(d, false), 24 * 3600 * 1000);
	ck_assert_uint_eq(d->max_delete_percent, 10);
	for (int i = 0; i < ROLE_COUNT; i++) {
		ck_assert_str_eq(d->attributes[i], "");
	}
	conf_unref(c);
}
END_TEST

START_TEST(takes_everything_that_a_file_may_say)
{
	struct conf *c =
	    parse_ok("organization = acme\r\nlocal_servers = {sitea, 'SiteB'}\n"
		     "recipient_delimiter = '+-'\nsecret_file = {\"/s1\", s2}\n"
		     "observe = yes max_staleness = 90 user = ''\n"
		     "syncd { user = sync }\n"
		     "policyd { policy_listen = {\"unix:/a\", \"inet:[::1]:10040\"}\n"
		     "  map_listen = inet:localhost:10041 workers = 3\n"
		     "  mailbox_transport = lmtp:unix:private/dovecot-lmtp\n"
		     "  authenticated_relay = none }\n"
		     "srs { enable = on domain = \"SRS.Acme.Example.\" "
		     "secret_file = '/srs' max_age = 30d }\n"
		     "log { level = debug }\n" LDAP(
			 "bind_dn = 'cn=Smith\\, J,dc=acme'\n"
			 "bind_password_file = ldap.secret\n"
			 "starttls = true timeout = 500ms full_interval = 2h\n"
			 "domains = {\"ACME.example\"} sync = poll\n"
			 "attributes { login = sAMAccountName }"));
	const struct conf_directory *d = c->directories;

	ck_assert_str_eq(c->settings.organization, "acme");
	ck_assert_str_eq(c->settings.local_servers[0], "sitea");
	ck_assert_str_eq(c->settings.local_servers[1], "SiteB");
	ck_assert_ptr_null(c->settings.local_servers[2]);
	ck_assert_str_eq(c->settings.recipient_delimiter, "+-");
	ck_assert_str_eq(c->secret_files[0], "/s1");
	ck_assert_str_eq(c->secret_files[1], "/etc/t/s2");
	ck_assert(c->settings.observe);
	ck_assert_int_eq(c->settings.max_staleness_s, 90);
	ck_assert_str_eq(c->user, "");
	ck_assert_str_eq(c->syncd.user, "sync");
	ck_assert_str_eq(c->milter.user, "");
	ck_assert_str_eq(c->policyd.policy_listen[1], "inet:[::1]:10040");
	ck_assert_str_eq(c->policyd.map_listen[0], "inet:localhost:10041");
	ck_assert_uint_eq(c->policyd.workers, 3);
	ck_assert_str_eq(c->settings.mailbox_transport,
	    "lmtp:unix:private/dovecot-lmtp");
	ck_assert_int_eq(c->settings.authenticated_relay, AUTHENTICATED_RELAY_NONE);
	ck_assert(c->srs.enable);
	ck_assert_str_eq(c->srs.domain, "srs.acme.example");
	ck_assert_str_eq(c->srs.secret_files[0], "/srs");
	ck_assert_int_eq(c->srs.max_age_ms, INT64_C(30) * 86400000);
	ck_assert_int_eq(c->log_level, LOG_LEVEL_DEBUG);
	ck_assert_str_eq(d->bind_dn, "cn=Smith\\, J,dc=acme");
	ck_assert_str_eq(d->bind_password_file, "/etc/t/ldap.secret");
	ck_assert(d->starttls);
	ck_assert_int_eq(d->timeout_ms, 500);
	ck_assert_int_eq(conf_full_interval_ms(d, true), 7200000);
	ck_assert_int_eq(conf_full_interval_ms(d, false), 7200000);
	ck_assert_str_eq(d->domains[0], "acme.example");
	ck_assert_int_eq(d->sync, SYNC_POLL);
	ck_assert_str_eq(d->attributes[ROLE_LOGIN], "sAMAccountName");
	conf_unref(c);
}
END_TEST

START_TEST(takes_all_from_the_first_directory_and_recipients_from_the_others)
{
	struct conf *c =
	    parse_ok("directory \"a\" { ldif = \"/a\" }\n"
		     "directory \"b\" { ldif = \"/b\" }\n"
		     "directory \"c\" { ldif = \"/c\" provides = {connectors} }\n");
	const struct conf_directory *d = c->directories;

	ck_assert_uint_eq(c->directory_count, 3);
	ck_assert(d[0].provides_recipients && d[0].provides_domains &&
		  d[0].provides_connectors);
	ck_assert(d[1].provides_recipients && !d[1].provides_domains &&
		  !d[1].provides_connectors);
	ck_assert(!d[2].provides_recipients && !d[2].provides_domains &&
		  d[2].provides_connectors);
	ck_assert_str_eq(d[2].name, "c");
	conf_unref(c);
}
END_TEST

/* clang-format off */
static const struct {
	const char *text;
	enum status status;
	int64_t ms;
} times[] = {
	{ "500ms", CX_OK, 500 },
	{ "10s", CX_OK, 10000 },
	{ "15m", CX_OK, 900000 },
	{ "1h", CX_OK, 3600000 },
	{ "7d", CX_OK, 604800000 },
	{ "30", CX_OK, 30000 },
	{ "0", CX_OK, 0 },
	{ "", CX_EINVAL, 0 },
	{ "s", CX_EINVAL, 0 },
	{ "1w", CX_EINVAL, 0 },
	{ "1 s", CX_EINVAL, 0 },
	{ " 1s", CX_EINVAL, 0 },
	{ "-1s", CX_EINVAL, 0 },
	{ "1.5h", CX_EINVAL, 0 },
	{ "1S", CX_EINVAL, 0 },
	{ "99999999999999999999d", CX_EINVAL, 0 },
};
/* clang-format on */

START_TEST(reads_times)
{
	int64_t ms = 0;

	unit_assert_status(conf_parse_time(times[_i].text, &ms), times[_i].status,
	    times[_i].text);
	ck_assert_int_eq(ms, times[_i].ms);
}
END_TEST

START_TEST(loads_a_file_and_counts_its_holders)
{
	char *folder = unit_mkdir(), path[4096];
	struct conf *conf = NULL;
	struct errbuf err;
	FILE *f;

	snprintf(path, sizeof(path), "%s/c.conf", folder);
	unit_assert_status(conf_load(path, &conf, &err), CX_ECONF, "no file");
	ck_assert_ptr_nonnull(strstr(err.text, "c.conf: No such file or directory"));
	unit_assert_status(conf_load(folder, &conf, &err), CX_ECONF, "a folder");
	f = fopen(path, "w");
	fputs("directory corp { ldif = \"corp.ldif\" }\n", f);
	fclose(f);
	ck_assert_int_eq(chdir(folder), 0);
	unit_assert_status(conf_load("c.conf", &conf, &err), CX_OK, "relative path");
	ck_assert_str_eq(conf->path, path);
	ck_assert_ptr_eq(conf_ref(conf), conf);
	conf_unref(conf);
	snprintf(path, sizeof(path), "%s/corp.ldif", folder);
	ck_assert_str_eq(conf->directories[0].ldif, path);
	conf_unref(conf);
	conf_unref(NULL);
	ck_assert_int_eq(chdir("/"), 0);
	unit_rmdir(folder);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("conf");
	TCase *tc = tcase_create("conf");

	tcase_add_loop_test(tc, says_where_and_what_is_wrong, 0, COUNT(wrong));
	tcase_add_test(tc, refuses_a_nul);
	tcase_add_test(tc, refuses_too_many_directories_where_they_become_too_many);
	tcase_add_test(tc, has_the_defaults_of_the_specification);
	tcase_add_test(tc, has_the_directory_defaults_of_the_specification);
	tcase_add_test(tc, takes_everything_that_a_file_may_say);
	tcase_add_test(tc,
	    takes_all_from_the_first_directory_and_recipients_from_the_others);
	tcase_add_loop_test(tc, reads_times, 0, COUNT(times));
	tcase_add_test(tc, loads_a_file_and_counts_its_holders);
	suite_add_tcase(suite, tc);
	return suite;
}
