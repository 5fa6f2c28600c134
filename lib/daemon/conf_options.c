#include "config.h"

#include "daemon/conf_options.h"

#define SECOND  INT64_C(1000)
#define MINUTE  (60 * SECOND)
#define HOUR    (60 * MINUTE)
#define DAY     (24 * HOUR)
#define FOREVER (3650 * DAY)

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const relay_words[] = { "directory", "any", "none", NULL };
static const char *const level_words[] = { "error", "warning", "info", "debug", NULL };
static const char *const sync_words[] = { "auto", "persist", "poll", NULL };
static const char *const scope_words[] = { "sub", "one", "base", NULL };
static const char *const mapping_words[] = { "coexist", "exchange", "laser", NULL };
static const char *const sasl_words[] = { "EXTERNAL", "GSSAPI", NULL };
static const char *const provides_words[] = { "recipients", "domains", "connectors",
	NULL };

/* Rows: clang-format would make a paragraph of each. */
/* clang-format off */
#define TOP(member)       .offset = offsetof(struct conf, member)
#define SETTING(member)   .offset = offsetof(struct conf, settings.member)
#define DIR(member)       .offset = offsetof(struct directory_section, conf.member)
#define ROLE(role)        .offset = offsetof(struct directory_section, conf.attributes[role])

static const struct option top_options[] = {
	{ "organization", OPTION_TEXT, "coexist", SETTING(organization),
	    .check = check_organization },
	{ "replica", OPTION_TEXT, "/var/lib/coexist", TOP(replica), .check = check_path },
	{ "local_servers", OPTION_LIST, "", SETTING(local_servers), .check = check_server },
	{ "recipient_delimiter", OPTION_TEXT, "+", SETTING(recipient_delimiter),
	    .check = check_delimiters, .may_be_empty = true },
	{ "propagate_extension", OPTION_BOOL, "false", SETTING(propagate_extension) },
	{ "rewrite_to_primary", OPTION_BOOL, "true", SETTING(rewrite_to_primary) },
	{ "enforce_sender", OPTION_BOOL, "false", SETTING(enforce_sender) },
	{ "postmaster", OPTION_TEXT, "postmaster", SETTING(postmaster),
	    .check = check_postmaster },
	{ "max_depth", OPTION_NUMBER, "16", SETTING(max_depth), .min = 1, .max = 64 },
	{ "max_deliveries", OPTION_NUMBER, "10000", SETTING(max_deliveries),
	    .min = 1, .max = 100000 },
	{ "observe", OPTION_BOOL, "false", SETTING(observe) },
	{ "max_staleness", OPTION_SECONDS, "7d", SETTING(max_staleness_s),
	    .min = SECOND, .max = FOREVER },
	{ "unknown_defer_after", OPTION_SECONDS, "1h", SETTING(unknown_defer_after_s),
	    .min = SECOND, .max = FOREVER },
	{ "secret_file", OPTION_LIST, "/etc/coexist/secret", TOP(secret_files),
	    .check = check_path },
	{ "user", OPTION_TEXT, "coexist", TOP(user), .check = check_user,
	    .may_be_empty = true },
};

static const struct option directory_options[] = {
	{ "uri", OPTION_TEXT, "", DIR(uri), .check = check_uris },
	{ "ldif", OPTION_TEXT, "", DIR(ldif), .check = check_path },
	{ "base", OPTION_TEXT, "", DIR(base), .check = check_dn },
	{ "scope", OPTION_TEXT, "sub", DIR(scope), .choices = scope_words },
	{ "filter", OPTION_TEXT, "", DIR(filter), .check = check_filter },
	{ "mapping", OPTION_TEXT, "coexist", DIR(mapping), .choices = mapping_words },
	{ "provides", OPTION_LIST, "", .offset = offsetof(struct directory_section, provides),
	    .choices = provides_words },
	{ "domains", OPTION_LIST, "", DIR(domains), .check = check_domain_pattern },
	{ "bind_dn", OPTION_TEXT, "", DIR(bind_dn), .check = check_dn },
	{ "bind_password_file", OPTION_TEXT, "", DIR(bind_password_file), .check = check_path },
	{ "sasl_mech", OPTION_TEXT, "", DIR(sasl_mech), .choices = sasl_words },
	{ "starttls", OPTION_BOOL, "false", DIR(starttls) },
	{ "tls_ca_file", OPTION_TEXT, "", DIR(tls_ca_file), .check = check_path },
	{ "tls_cert_file", OPTION_TEXT, "", DIR(tls_cert_file), .check = check_path },
	{ "tls_key_file", OPTION_TEXT, "", DIR(tls_key_file), .check = check_path },
	{ "tls_verify", OPTION_BOOL, "true", DIR(tls_verify) },
	{ "timeout", OPTION_MS, "10s", DIR(timeout_ms), .min = 100, .max = HOUR },
	{ "sync", OPTION_CHOICE, "auto", DIR(sync), .choices = sync_words },
	{ "poll_interval", OPTION_MS, "60s", DIR(poll_interval_ms), .min = 100, .max = DAY },
	/* 0 is not to be written: it stands for "by the method". */
	{ "full_interval", OPTION_MS, "", DIR(full_interval_ms), .min = 100, .max = FOREVER },
	{ "max_delete_percent", OPTION_NUMBER, "10", DIR(max_delete_percent), .max = 100 },
};

static const struct option attribute_options[ROLE_COUNT] = {
#define ATTRIBUTE(name, role) [role] = { name, OPTION_TEXT, "", ROLE(role), .check = check_attribute }
	ATTRIBUTE("mail", ROLE_MAIL),
	ATTRIBUTE("proxy_address", ROLE_PROXY_ADDRESS),
	ATTRIBUTE("target_address", ROLE_TARGET_ADDRESS),
	ATTRIBUTE("alt_recipient", ROLE_ALT_RECIPIENT),
	ATTRIBUTE("forwarding_address", ROLE_FORWARDING_ADDRESS),
	ATTRIBUTE("deliver_and_redirect", ROLE_DELIVER_AND_REDIRECT),
	ATTRIBUTE("hide", ROLE_HIDE),
	ATTRIBUTE("home_server", ROLE_HOME_SERVER),
	ATTRIBUTE("login", ROLE_LOGIN),
	ATTRIBUTE("member", ROLE_MEMBER),
	ATTRIBUTE("member_address", ROLE_MEMBER_ADDRESS),
	ATTRIBUTE("relay_allowed", ROLE_RELAY_ALLOWED),
	ATTRIBUTE("require_auth", ROLE_REQUIRE_AUTH),
#undef ATTRIBUTE
};

static const struct option syncd_options[] = {
	{ "control", OPTION_TEXT, "unix:/run/coexist/syncd", TOP(syncd.control),
	    .check = check_unix_listener },
	{ "user", OPTION_TEXT, "", TOP(syncd.user), .check = check_user },
	{ "metrics_listen", OPTION_TEXT, "", TOP(syncd.metrics_listen),
	    .check = check_inet_listener },
};

static const struct option milter_options[] = {
	{ "listen", OPTION_TEXT, "unix:/var/spool/postfix/coexist/milter", TOP(milter.listen),
	    .check = check_listener },
	{ "user", OPTION_TEXT, "", TOP(milter.user), .check = check_user },
	{ "metrics_listen", OPTION_TEXT, "", TOP(milter.metrics_listen),
	    .check = check_inet_listener },
	{ "enforce", OPTION_BOOL, "false", TOP(milter.enforce) },
};

static const struct option policyd_options[] = {
	{ "policy_listen", OPTION_LIST, "unix:/var/spool/postfix/coexist/policy",
	    TOP(policyd.policy_listen), .check = check_listener },
	{ "map_listen", OPTION_LIST, "unix:/var/spool/postfix/coexist/map",
	    TOP(policyd.map_listen), .check = check_listener },
	{ "user", OPTION_TEXT, "", TOP(policyd.user), .check = check_user },
	{ "metrics_listen", OPTION_TEXT, "", TOP(policyd.metrics_listen),
	    .check = check_inet_listener },
	{ "mailbox_transport", OPTION_TEXT, "", SETTING(mailbox_transport),
	    .check = check_transport },
	{ "authenticated_relay", OPTION_CHOICE, "directory", SETTING(authenticated_relay),
	    .choices = relay_words },
	{ "workers", OPTION_NUMBER, "0", TOP(policyd.workers), .max = 64 },
};

static const struct option srs_options[] = {
	{ "enable", OPTION_BOOL, "false", TOP(srs.enable) },
	{ "domain", OPTION_TEXT, "", TOP(srs.domain), .check = check_domain },
	{ "secret_file", OPTION_LIST, "", TOP(srs.secret_files), .check = check_path },
	{ "hop", OPTION_TEXT, "", SETTING(srs_hop), .check = check_hop },
	/* The day stamp in an SRS address has ten bits. */
	{ "max_age", OPTION_MS, "21d", TOP(srs.max_age_ms), .min = DAY, .max = 1000 * DAY },
};

static const struct option log_options[] = {
	{ "level", OPTION_CHOICE, "info", TOP(log_level), .choices = level_words },
};

#define ROWS(rows) .options = (rows), .option_count = COUNT(rows)
const struct section conf_sections[SECTION_COUNT] = {
	[SECTION_TOP] = { "", SECTION_TOP, ROWS(top_options) },
	[SECTION_DIRECTORY] = { "directory", SECTION_TOP, ROWS(directory_options) },
	[SECTION_ATTRIBUTES] = { "attributes", SECTION_DIRECTORY, ROWS(attribute_options) },
	[SECTION_SYNCD] = { "syncd", SECTION_TOP, ROWS(syncd_options) },
	[SECTION_MILTER] = { "milter", SECTION_TOP, ROWS(milter_options) },
	[SECTION_POLICYD] = { "policyd", SECTION_TOP, ROWS(policyd_options) },
	[SECTION_SRS] = { "srs", SECTION_TOP, ROWS(srs_options) },
	[SECTION_LOG] = { "log", SECTION_TOP, ROWS(log_options) },
};
/* clang-format on */

const char *attribute_role_text(enum attribute_role role)
{
	return attribute_options[role].name;
}
