#include "config.h"

#include "value/status.h"

const char *status_text(enum status status)
{
	switch (status) {
	case CX_OK: return "ok";
	case CX_NOTFOUND: return "not found";
	case CX_ETEMP: return "temporarily unavailable";
	case CX_EINVAL: return "malformed";
	case CX_ETOOLONG: return "too long";
	case CX_EEXIST: return "ambiguous";
	case CX_EFULL: return "working memory used up";
	case CX_ENOMEM: return "out of memory";
	case CX_EFORMAT: return "damaged or of an unknown format";
	case CX_ECONF: return "wrong configuration";
	case CX_EIO: return "system error";
	}
	return "unknown status";
}
