#ifndef CX_CHECK_H
#define CX_CHECK_H

#include <jansson.h>
#include <stdio.h>

#include "daemon/conf.h"
#include "decide/lookup.h"
#include "decide/resolve.h"
#include "replica/recipient.h"
#include "value/arena.h"

/*
 * coexistctl check: what is wrong in the directories, for the administrator to put right.
 *
 * A check is one row of a table and one function; a group of them is one file
 * (check_directories.c, check_addresses.c, check_recipients.c) with its table, which
 * cmd_check.c lists. A function looks at the one snapshot and calls check_found() for each
 * finding. What mail does is never worked out here: resolve() and route() say it.
 *
 * A million recipients take seconds: what looks at each of them must be cheap where there is
 * nothing to find. Memory is bounded: findings go to the report as they come.
 */
struct checker;
struct subject;

struct check {
	const char *name;  /* "skippedEntry": in JSON, stable */
	const char *title; /* above its findings, for people */
	/* One of them: called once, or for each recipient in order of directory and id. */
	void (*run)(struct checker *);
	void (*look)(struct checker *, struct subject *);
};

struct check_group {
	const struct check *checks;
	size_t count;
};
extern const struct check_group check_directories, check_addresses, check_recipients;

/* One recipient, and what is worked out of it when the first check asks. */
struct subject {
	const char *directory;
	struct found found; /* as found by its DN */
	bool has_broken_reference;
	/* use subject_primary(), subject_resolution() */
	bool is_primary_known, is_resolved;
	enum status primary_status;
	struct address primary;
	struct resolution resolution;
};

struct checker {
	const struct conf *conf;
	/* Of the snapshot, with ages that never count: check tells of these by themselves. */
	struct view view;
	struct settings settings;
	struct domain_memo memo;
	struct arena arena;
	int64_t now;
	json_t *syncd; /* what coexist-syncd says of itself; NULL: it does not answer */
	struct errbuf syncd_trouble;
	bool is_syncd_down; /* nobody listens; else `syncd_trouble` is of another kind */
	bool knows_recipients; /* every directory was loaded: what is in none is nowhere */
	enum status failure; /* the first CX_EFORMAT, CX_ETEMP, CX_ENOMEM that was met */
	size_t recipients;
	struct report *report;
	const struct check *running;
	struct buf line; /* of the finding that is made */
};

/* What a person is told, and what a script. All borrowed for the call. */
struct finding {
	const char *directory; /* NULL: none */
	struct span dn, address;
	const char *other_directory;
	struct span other_dn;
	struct span detail;
	const char *command; /* that would settle it; NULL */
	size_t count; /* cases it stands for; 0 is 1 */
	struct span text; /* the line for people, escaped already; check_found() makes it */
};

/* --- check_subject.c: for checks --- */

/*
 * A finding of the check that runs. Its line is the template, in which each {} is replaced
 * by the next of the values (spans), escaped: CHECK_FOUND(c, &finding, "{}: no route", dn).
 */
#define CHECK_FOUND(checker, finding, template, ...)                                       \
	check_found(checker, finding, template, (const struct span[]){ __VA_ARGS__ },       \
	    sizeof((const struct span[]){ __VA_ARGS__ }) / sizeof(struct span))
void check_found(struct checker *, struct finding *, const char *template,
    const struct span *values, size_t count);
/* Notes what cannot be read: the result is then not complete. True where it is a failure. */
bool check_failed(struct checker *, enum status);
/* The name of a directory by the number of its records; NULL: it is no longer configured. */
const char *check_directory(const struct checker *, uint8_t source);
/* True where an address (canonical domain; empty: its type has none) would be looked up. */
bool check_is_ours(struct checker *, struct span domain);

/* The address that mail reaches the object under. CX_NOTFOUND: none that is its own. */
enum status subject_primary(struct checker *, struct subject *);
/* What becomes of mail for it, for who is entitled to most; NULL: it has no address. */
const struct resolution *subject_resolution(struct checker *, struct subject *);
/* The same of any address. False: failed. */
bool check_resolve(struct checker *, const struct address *, struct resolution *out);
bool subject_has_alternates(const struct subject *);

/* --- check_report.c: findings as they come, bounded memory --- */

/* Lines for people of one check; more are only counted. */
#define CHECK_LINES_MAX 1000

struct report *report_new(bool as_json);
void report_free(struct report *);
/* All checks, in the order in which they are shown. */
void report_add_check(struct report *, const struct check *);
void report_found(struct report *, const struct check *, const struct finding *);
size_t report_total(const struct report *);
/* Prints. `is_complete`: nothing failed. False: what was written aside is lost. */
bool report_print(struct report *, size_t directories, size_t recipients, bool is_complete);

#endif
