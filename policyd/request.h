#ifndef CX_REQUEST_H
#define CX_REQUEST_H

#include "policyd/session.h"

/*
 * Postfix's policy delegation protocol, the request: lines "name=value", then an
 * empty one. Values arrive raw: nothing is quoted or escaped, so that only the
 * line's first "=" and its end mean anything. Attributes come in any order, and
 * new ones with every version of Postfix. Pure functions.
 */

/*
 * The protocol knows no limits. A usual request is 600 bytes of 29 attributes; an
 * SMTP command line is at most 2 KiB, but names in certificates can be long.
 */
#define POLICY_REQUEST_MAX    65536
#define POLICY_ATTRIBUTES_MAX 200

/* The attributes that count, empty where they are missing. Lent by the text. */
struct policy_request {
	struct span request;
	struct span protocol_state;
	struct span client_address;
	struct span client_name;
	struct span sender;
	struct span recipient;
	struct span sasl_username;
	struct span ccert_fingerprint;
	struct span ccert_pubkey_fingerprint;
	struct span policy_context;
};

/* A frame is the request with its empty line; the body is the lines before that. */
enum frame_status policy_frame(struct span input, size_t *scanned, struct frame *,
    const char **why);

/*
 * CX_OK; CX_EINVAL, CX_ETOOLONG with *why, a constant: a line with no "=" or no name, a
 * NUL, one of the attributes above twice, too many, or not "smtpd_access_policy".
 */
enum status policy_request_parse(struct span body, struct policy_request *out,
    const char **why);

#endif
