#ifndef CX_MILTER_FIXTURE_H
#define CX_MILTER_FIXTURE_H

#include "milter/session.h"
#include "tests/unit/unit.h"

/*
 * A session of the milter at work, with a directory made of local parts: the verdict for
 * "loop@acme.example" is `loop`, "redirect@" goes to x@pop.example, and so on; every other
 * domain is foreign. What fails here fails the test.
 */
struct fixture {
	struct conf *conf;
	struct keys *keys;
	enum relay_verdict relay; /* how relay authorization goes */
	struct session_env env;
	struct counts counts;
	struct session *session;
};
extern struct fixture fixture;

/* The question that was asked last, and how many were. */
struct asked {
	unsigned count;
	bool has_ip;
	bool is_trusted;
	bool has_sender;
	const struct judge_memory *memory;
	char login[32];
	char certificate[100];
	struct ip ip;
};
extern struct asked asked;

/* What was logged. */
extern struct buf lines;
bool has_line(const char *part);

/* A connection of client.example[192.0.2.7]. */
void start(const char *conf_text, enum mta);
void stop(void);

/* `argument`: of ESMTP; NULL for none. */
void mail(const char *path, const char *argument);
struct answer rcpt(const char *path);

/* `expected`: "550 5.1.1", "continue". */
void assert_answer(struct answer, const char *expected, const char *label);
/* Ends the message; its edits as "+<x@y> -a@b". */
void assert_end(const char *expected, const char *label);

#endif
