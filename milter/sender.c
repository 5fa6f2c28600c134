#include "config.h"

#include "milter/sender.h"

#include "forward/hop.h"
#include "forward/srs.h"

static bool is_no_address(enum status status)
{
	return status == CX_ETOOLONG || status == CX_EINVAL;
}

static enum status change_sender(struct plan *plan, const struct address *sender,
    const struct sender_rule *rule, enum sender_fate *fate, struct buf *text)
{
	struct address rewritten;
	enum status status =
	    srs_forward(rule->secrets, sender, rule->domain, rule->now_s, &rewritten);

	*fate = is_no_address(status) ? SENDER_TOO_LONG : SENDER_CHANGED;
	if (status != CX_OK) {
		return *fate == SENDER_TOO_LONG ? CX_OK : status;
	}
	address_print(&rewritten, text);
	return text->failed ? CX_ENOMEM : plan_set_sender(plan, buf_span(text));
}

static enum status send_by_hop(struct plan *plan, struct edit *edit,
    const struct sender_rule *rule, enum sender_fate *fate)
{
	char memory[ADDRESS_PRINT_MAX];
	struct address target, wrapped;
	struct buf text;
	enum status status = address_parse_path(span_of(edit->address), &target);

	if (status == CX_OK) {
		status = hop_wrap(rule->secrets, &target, rule->domain, rule->now_s,
		    &wrapped);
	}
	if (is_no_address(status)) {
		*fate = SENDER_TOO_LONG;
		return CX_OK;
	}
	if (status != CX_OK) {
		return status;
	}
	buf_init_fixed(&text, memory, sizeof(memory));
	address_print(&wrapped, &text);
	return plan_change_address(plan, edit, buf_span(&text));
}

enum status sender_rewrite(struct plan *plan, const struct address *sender,
    const struct sender_rule *rule, enum sender_fate *fate, struct buf *text)
{
	enum status status = CX_OK;

	if (!plan->has_staying) {
		return change_sender(plan, sender, rule, fate, text);
	}
	*fate = rule->has_hop ? SENDER_BY_HOP : SENDER_NO_HOP;
	for (size_t i = 0; rule->has_hop && i < plan->count && status == CX_OK; i++) {
		if (plan->edits[i].is_leaving) {
			status = send_by_hop(plan, &plan->edits[i], rule, fate);
		}
	}
	return status;
}
