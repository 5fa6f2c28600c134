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

enum status socketmap_answer(const struct view *view, struct span query,
    struct workspace *workspace, char *scratch, struct buf *out, const char **why)
{
	const char *blank = query.len > 0 ? memchr(query.ptr, ' ', query.len) : NULL;
	struct span map, key;
	struct buf value;

	if (blank == NULL || blank == query.ptr) {
		socketmap_farewell(out);
		*why = "malformed request";
		return CX_EINVAL;
	}
	map = (struct span){ query.ptr, (size_t)(blank - query.ptr) };
	key = (struct span){ blank + 1, query.len - map.len - 1 };
	buf_init_fixed(&value, scratch, SOCKETMAP_SCRATCH_SIZE);
	switch (map_query(view, map, key, workspace, &value)) {
	case MAP_FOUND: print_reply("OK ", buf_span(&value), out); return CX_OK;
	case MAP_NOT_FOUND: print_reply("NOTFOUND ", SPAN(""), out); return CX_OK;
	case MAP_TEMPORARY:
		print_reply("TEMP ", SPAN("try again later"), out);
		return CX_ETEMP;
	case MAP_UNAVAILABLE:
		print_reply("TEMP ", SPAN("directory unavailable"), out);
		return CX_ETEMP;
	case MAP_NO_SUCH_MAP: break;
	}
	print_reply("PERM ", SPAN("no such map"), out);
	*why = "no such map";
	return CX_EINVAL;
}
