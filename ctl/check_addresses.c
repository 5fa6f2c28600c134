#include "config.h"

#include <stdio.h>

#include "ctl/check.h"

/*
 * What more than one object claims. The indexes are walked in the order of their keys: only keys
 * with several entries are looked at.
 */

/* Claimants of one address that are told of. */
#define OWNERS_MAX 64

struct walk {
	struct checker *checker;
	struct address_owner owners[OWNERS_MAX]; /* that own it, best first */
	size_t count;
	bool in_one_directory; /* the rivals to tell of: of the best one's directory */
	void (*tell)(struct walk *, struct span key, struct finding *);
};

static struct span dn_of(struct checker *checker, const struct record_id *id)
{
	struct record record;
	enum status status = snapshot_record(checker->view.snapshot, id, &record);

	check_failed(checker, status == CX_NOTFOUND ? CX_EFORMAT : status);
	return status == CX_OK ? record_first(&record, TAG_DN)
			       : (struct span){ NULL, 0 };
}

/* Those that own the key, if they are several. */
static bool has_rivals(struct walk *walk, struct span key)
{
	struct checker *checker = walk->checker;
	struct address_owner all[OWNERS_MAX];
	struct key copy;
	size_t count, i;
	enum status status;

	if (key.len >= sizeof(copy.bytes)) {
		return false;
	}
	copy.len = key.len;
	memcpy(copy.bytes, key.ptr, key.len);
	copy.bytes[key.len] = '\0';
	status = snapshot_address_owners(checker->view.snapshot, &copy, all, OWNERS_MAX,
	    &count);
	if (check_failed(checker, status) || status != CX_OK) {
		return false;
	}
	walk->count = 0;
	for (i = 0; i < count && i < OWNERS_MAX; i++) {
		if (all[i].rank == RANK_OWN) {
			walk->owners[walk->count++] = all[i];
		}
	}
	return walk->count > 1;
}

/* Elsewhere nobody looks an address up. One with no readable domain (too long) may be ours. */
static bool is_looked_up(struct checker *checker, struct span key)
{
	const char *at = memrchr(key.ptr, '@', key.len);

	if (!span_starts_with_case(key, SPAN("smtp:")) || at == NULL) {
		return true;
	}
	return check_is_ours(checker,
	    (struct span){ at + 1, (size_t)(key.ptr + key.len - at - 1) });
}

static struct finding finding_of(struct walk *walk, struct span key, size_t loser)
{
	struct checker *checker = walk->checker;

	return (struct finding){
		.directory = check_directory(checker, walk->owners[loser].id.source),
		.dn = dn_of(checker, &walk->owners[loser].id),
		.address = key,
		.other_directory = check_directory(checker, walk->owners[0].id.source),
		.other_dn = dn_of(checker, &walk->owners[0].id),
	};
}

/* The loser has another directory than the winner: precedence decides. */
static void tell_conflict(struct walk *walk, struct span key, struct finding *finding)
{
	CHECK_FOUND(walk->checker, finding, "{}: {} ({}) wins over {} ({})", key,
	    span_of(finding->other_directory), finding->other_dn,
	    span_of(finding->directory), finding->dn);
}

/* Nothing decides between objects of one directory. */
static void tell_ambiguity(struct walk *walk, struct span key, struct finding *finding)
{
	CHECK_FOUND(walk->checker, finding,
	    "{}: of {} and of {} (in {}); its mail is deferred", key, finding->other_dn,
	    finding->dn, span_of(finding->directory));
}

static bool visit_address(void *context, struct span key, size_t entries)
{
	struct walk *walk = context;
	size_t i;

	if (entries < 2 || !has_rivals(walk, key) ||
	    !is_looked_up(walk->checker, key)) {
		return true;
	}
	for (i = 1; i < walk->count; i++) {
		bool same = walk->owners[i].id.source == walk->owners[0].id.source;

		if (same == walk->in_one_directory) {
			struct finding finding = finding_of(walk, key, i);

			walk->tell(walk, key, &finding);
		}
	}
	return true;
}

static void each_address(struct walk *walk)
{
	check_failed(walk->checker, snapshot_each_key(walk->checker->view.snapshot,
					KEYS_ADDRESS, visit_address, walk));
}

static void address_conflict(struct checker *checker)
{
	struct walk walk = { .checker = checker, .tell = tell_conflict };

	each_address(&walk);
}

static void address_ambiguous(struct checker *checker)
{
	struct walk walk = {
		.checker = checker, .in_one_directory = true, .tell = tell_ambiguity
	};

	each_address(&walk);
}

/* One of them has it, and is in the directory that is named first. */
static void tell_lost_login(struct checker *checker, struct span key,
    const struct record_id *winner, const struct address_owner *owners, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		struct finding finding = {
			.directory = check_directory(checker, owners[i].id.source),
			.dn = dn_of(checker, &owners[i].id),
			.detail = key,
			.other_directory = check_directory(checker, winner->source),
			.other_dn = dn_of(checker, winner),
		};

		if (!record_id_equal(&owners[i].id, winner)) {
			CHECK_FOUND(checker, &finding, "{}: {} ({}) wins over {} ({})",
			    key, span_of(finding.other_directory), finding.other_dn,
			    span_of(finding.directory), finding.dn);
		}
	}
}

/* A login that is also an address is the login of that address's owner too. */
static bool visit_login(void *context, struct span key, size_t entries)
{
	struct walk *walk = context;
	struct checker *checker = walk->checker;
	struct address_owner owners[2];
	struct recipient recipient;
	struct record_id id;
	struct finding finding;
	enum status status;
	size_t count;

	if (entries < 2 && memchr(key.ptr, '@', key.len) == NULL) {
		return true;
	}
	status = lookup_login(&checker->view, key, &id, &recipient);
	check_failed(checker, status);
	if ((status != CX_OK && status != CX_EEXIST) ||
	    snapshot_login_owners(checker->view.snapshot, key, owners, 2, &count) !=
		CX_OK) {
		return true;
	}
	if (status == CX_OK) {
		tell_lost_login(checker, key, &id, owners, count < 2 ? count : 2);
		return true;
	}
	finding = (struct finding){
		.directory = check_directory(checker, owners[0].id.source),
		.dn = dn_of(checker, &owners[0].id),
		.detail = key,
	};
	if (count > 1) {
		finding.other_directory = check_directory(checker, owners[1].id.source);
		finding.other_dn = dn_of(checker, &owners[1].id);
		CHECK_FOUND(checker, &finding,
		    "{}: of {} ({}) and of {} ({}); it is nobody's", key, finding.dn,
		    span_of(finding.directory), finding.other_dn,
		    span_of(finding.other_directory));
	} else {
		CHECK_FOUND(checker, &finding,
		    "{}: of {} ({}) and the address of another; it is nobody's", key,
		    finding.dn, span_of(finding.directory));
	}
	return true;
}

static void login_conflict(struct checker *checker)
{
	struct walk walk = { .checker = checker };

	check_failed(checker,
	    snapshot_each_key(checker->view.snapshot, KEYS_LOGIN, visit_login, &walk));
}

/* A domain or connector that exists twice: the first one counts, as look-ups have it. */
static void tell_double(struct checker *checker, const char *what, struct span key,
    enum status status, const struct record_id *id, size_t entries)
{
	char number[24];
	struct finding finding;

	if (check_failed(checker, status) || status != CX_OK) {
		return;
	}
	snprintf(number, sizeof(number), "%zu", entries);
	finding = (struct finding){
		.directory = check_directory(checker, id->source),
		.dn = dn_of(checker, id),
		.detail = key,
	};
	CHECK_FOUND(checker, &finding, "{} {}: {} objects; {} ({}) counts",
	    span_of(what), key, span_of(number), finding.dn,
	    span_of(finding.directory));
}

static bool visit_domain(void *context, struct span key, size_t entries)
{
	struct walk *walk = context;
	struct record_id id;

	if (entries > 1) {
		tell_double(walk->checker, "domain", key,
		    snapshot_by_domain(walk->checker->view.snapshot, key, &id), &id,
		    entries);
	}
	return true;
}

static bool visit_connector(void *context, struct span key, size_t entries)
{
	struct walk *walk = context;
	struct record_id id;

	if (entries > 1) {
		tell_double(walk->checker, "connector", key,
		    snapshot_by_connector(walk->checker->view.snapshot, key, &id), &id,
		    entries);
	}
	return true;
}

static void object_double(struct checker *checker)
{
	struct walk walk = { .checker = checker };

	check_failed(checker, snapshot_each_key(checker->view.snapshot, KEYS_DOMAIN,
				  visit_domain, &walk));
	check_failed(checker, snapshot_each_key(checker->view.snapshot, KEYS_CONNECTOR,
				  visit_connector, &walk));
}

static const struct check checks[] = {
	{ "addressConflict", "addresses that several directories have",
	    address_conflict, NULL },
	{ "addressAmbiguous",
	    "addresses that are nobody's: two objects of one directory",
	    address_ambiguous, NULL },
	{ "loginConflict", "logins of several objects", login_conflict, NULL },
	{ "objectDouble", "domains and connectors that exist more than once",
	    object_double, NULL },
};

const struct check_group check_addresses = { checks,
	sizeof(checks) / sizeof(checks[0]) };
