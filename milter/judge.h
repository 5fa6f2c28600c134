#ifndef CX_MILTER_JUDGE_H
#define CX_MILTER_JUDGE_H

#include <stdbool.h>

#include "decide/authorize.h"
#include "decide/resolve.h"
#include "value/arena.h"

/*
 * The seam between a session and the decision: one function that asks the replica, which
 * tests replace by one of their own.
 */
struct judge_question {
	const struct settings *settings;
	int64_t now;
	const struct address *address; /* NULL: what was typed is no address */
	const struct relay_facts *client;
	/* Entitled to write to anybody, whatever authorize() says. */
	bool is_trusted;
	/* Envelope sender, where it must be the login's own; NULL: not asked. */
	const struct address *sender;
	bool is_sender_empty;
	const struct secrets *srs_secrets;
	/* As in struct question: the message was here before. NULL: it was not. */
	question_was_expanded *was_expanded;
	void *was_expanded_context;
	/* The same: groups that other recipients of the message were expanded to. */
	question_is_covered *is_covered;
	void *is_covered_context;
};

struct judgement {
	struct resolution resolution;
	enum relay_verdict relay;
	enum status sender; /* as authorize_sender(); CX_OK where not asked */
};

/*
 * Memory for one judgement after another: it starts small and grows as far as a decision
 * needs. What a judgement holds is valid until the next one, or until the memory is
 * released or trimmed.
 */
struct judge_memory {
	struct arena arena;
};
void judge_memory_release(struct judge_memory *);
/*
 * Gives it back if it has grown large. To be called when a judgement has been made use of:
 * until the next question a client may take as long as it likes.
 */
#define JUDGE_MEMORY_KEEP ((size_t)1024 * 1024)
void judge_memory_trim(struct judge_memory *);

/*
 * Always gives an answer: whatever stands in its way is `unavailable`. `context` is
 * what the judge needs; judge_by_store() takes a struct store.
 */
typedef void judge_function(void *context, const struct judge_question *,
    struct judge_memory *, struct judgement *out);

/*
 * Whether an envelope sender is in a domain of ours. CX_OK: it is; CX_NOTFOUND; anything else:
 * not known.
 */
typedef enum status judge_sender_function(void *context, const struct settings *,
    int64_t now, const struct address *);

enum status judge_sender_by_store(void *store, const struct settings *, int64_t now,
    const struct address *);
void judge_by_store(void *store, const struct judge_question *, struct judge_memory *,
    struct judgement *out);

#endif
