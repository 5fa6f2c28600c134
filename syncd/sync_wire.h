#ifndef CX_SYNC_WIRE_H
#define CX_SYNC_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "value/buf.h"
#include "value/status.h"

/*
 * The values of the controls and of the intermediate response of RFC 4533, from and to BER.
 * Pure. What is read lends spans into the value given and is as long-lived as that.
 * Reading: CX_OK; CX_EINVAL: not such a value.
 */
#define SYNC_UUID_SIZE 16

enum sync_entry_state {
	SYNC_ENTRY_PRESENT = 0,
	SYNC_ENTRY_ADD = 1,
	SYNC_ENTRY_MODIFY = 2,
	SYNC_ENTRY_DELETE = 3,
};

/* Sync State Control, on an entry. */
struct sync_state {
	enum sync_entry_state state;
	uint8_t uuid[SYNC_UUID_SIZE];
	bool has_cookie;
	struct span cookie;
};
enum status sync_state_parse(struct span value, struct sync_state *out);

enum sync_info_kind {
	SYNC_INFO_NEW_COOKIE,
	SYNC_INFO_REFRESH_DELETE,
	SYNC_INFO_REFRESH_PRESENT,
	SYNC_INFO_ID_SET,
};

/* Sync Info Message, an intermediate response. */
struct sync_info {
	enum sync_info_kind kind;
	bool has_cookie;
	struct span cookie;
	bool is_done;      /* REFRESH_*: the refresh stage ends here */
	bool are_deleted;  /* ID_SET: these entries are gone; else they are present */
	struct span uuids; /* ID_SET: the contents of the SET, for sync_info_next() */
};
/* Every element of an ID_SET has been checked when this returns CX_OK. */
enum status sync_info_parse(struct span value, struct sync_info *out);
/* Takes one UUID (16 bytes, borrowed) off the set. */
bool sync_info_next(struct sync_info *, const uint8_t **uuid);

/* Sync Done Control, on the result of the search. */
struct sync_done {
	bool has_cookie;
	struct span cookie;
	bool is_delete_phase; /* refreshDeletes */
};
enum status sync_done_parse(struct span value, struct sync_done *out);

/* The value of the Sync Request Control for refreshAndPersist; an empty cookie is left out. */
enum status sync_request_print(struct span cookie, struct buf *out);

/* "5ad2c9a0-4b5f-103f-9d5c-0bc4dd6b7b9e" to and from 16 bytes. */
bool sync_uuid_parse(struct span text, uint8_t out[SYNC_UUID_SIZE]);
#define SYNC_UUID_TEXT 37
void sync_uuid_print(const uint8_t uuid[SYNC_UUID_SIZE], char out[SYNC_UUID_TEXT]);

#endif
