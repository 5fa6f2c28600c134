#include "config.h"

#include "mapping_rows.h"

#include "unit.h"

void row_check(const struct conf_directory *directory, const struct row *row)
{
	struct buf record, said;

	buf_init(&record);
	buf_init(&said);
	enum status status = help_map(directory, row->ldif, &record, &said);

	ck_assert_msg(strcmp(said.data ? said.data : "", row->said) == 0,
	    "%s: said\n%s-- not\n%s", row->label, said.data ? said.data : "",
	    row->said);
	unit_assert_status(status, row->status, row->label);
	ck_assert_msg(strcmp(record.data ? record.data : "", row->record) == 0,
	    "%s: is\n%s-- not\n%s", row->label, record.data ? record.data : "",
	    row->record);
	buf_release(&record);
	buf_release(&said);
}
