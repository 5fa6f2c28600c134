#include "config.h"

#include "policyd/socketmap.h"

static void print_reply(const char *word, struct span text, struct buf *out)
{
	size_t len = strlen(word) + text.len;

	buf_printf(out, "%zu:%s", len, word);
	buf_add_span(out, text);
	buf_add_char(out, ',');
}

void socketmap_farewell(struct buf *out)
{
	print_reply("PERM ", SPAN("malformed request"), out);
}

static void print_status(enum map_status status, struct span value, struct buf *out,
    const char **why)
{
	switch (status) {
	case MAP_FOUND: print_reply("OK ", value, out); break;
	case MAP_NOT_FOUND: print_reply("NOTFOUND ", SPAN(""), out); break;
	case MAP_TEMPORARY: print_reply("TEMP ", SPAN("try again later"), out); break;
	case MAP_UNAVAILABLE:
		print_reply("TEMP ", SPAN("directory unavailable"), out);
		break;
	case MAP_NO_SUCH_MAP:
		print_reply("PERM ", SPAN("no such map"), out);
		*why = "no such map";
		break;
	case MAP_MALFORMED:
	case MAP_STATUS_COUNT:
		socketmap_farewell(out);
		*why = "malformed request";
		break;
	}
}

enum map_status socketmap_answer(const struct view *view, struct span query,
    struct workspace *workspace, char *scratch, struct buf *out, const char **why)
{
	const char *blank = query.len > 0 ? memchr(query.ptr, ' ', query.len) : NULL;
	enum map_status status = MAP_MALFORMED;
	struct span map, key;
	struct buf value;

	buf_init_fixed(&value, scratch, SOCKETMAP_SCRATCH_SIZE);
	if (blank != NULL && blank != query.ptr) {
		map = (struct span){ query.ptr, (size_t)(blank - query.ptr) };
		key = (struct span){ blank + 1, query.len - map.len - 1 };
		status = map_query(view, map, key, workspace, &value);
	}
	print_status(status, buf_span(&value), out, why);
	return status;
}
