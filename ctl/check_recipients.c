#include "config.h"

#include "ctl/check.h"
#include "ctl/check_here.h"
#include "ctl/lost_route.h"
#include "decide/route.h"

/* Each recipient by itself, and what resolve() and route() make of it. */

static struct finding finding_of(const struct subject *subject)
{
	return (struct finding){ .directory = subject->directory,
		.dn = subject->found.recipient.dn };
}

/* The same, with the address that mail reaches it under. */
static struct finding finding_with_address(struct subject *subject, struct buf *memory)
{
	struct finding finding = finding_of(subject);

	address_print(&subject->primary, memory);
	finding.address = buf_span(memory);
	return finding;
}

/* Nothing that could go wrong: most recipients. */
static bool is_plain(const struct subject *subject)
{
	const struct recipient *recipient = &subject->found.recipient;

	return recipient->kind == RECIPIENT_MAILBOX &&
	       span_is_empty(recipient->home_server) &&
	       !subject_has_alternates(subject);
}

/* --- What it says of itself --- */

static bool key_of_first(struct values values, struct key *key)
{
	struct address address;
	struct span text;

	if (!values_next(&values, &text) ||
	    address_parse_typed(text, &address) != CX_OK) {
		return false;
	}
	address_key(&address, key);
	return true;
}

static void mail_not_primary(struct checker *checker, struct subject *subject)
{
	struct values primaries = subject->found.recipient.primaries;
	struct values mails = subject->found.recipient.mails;
	struct finding finding = finding_of(subject);
	struct key primary, mail;

	if (!key_of_first(primaries, &primary) || !key_of_first(mails, &mail) ||
	    key_equal(&primary, &mail)) {
		return;
	}
	(void)values_next(&primaries, &finding.address);
	(void)values_next(&mails, &finding.detail);
	CHECK_FOUND(checker, &finding, "{}: mail is {}, the primary address is {}",
	    finding.dn, finding.detail, finding.address);
}

static void target_on_mailbox(struct checker *checker, struct subject *subject)
{
	struct finding finding = finding_of(subject);

	if ((subject->found.recipient.flags & RECIPIENT_IS_MAILBOX) == 0) {
		return;
	}
	finding.detail = subject->found.recipient.target;
	CHECK_FOUND(checker, &finding, "{}: its mail goes to {}", finding.dn,
	    finding.detail);
}

/* --- What it refers to --- */

static void tell_reference(struct checker *checker, struct subject *subject,
    const char *what, struct span reference)
{
	struct finding finding = finding_of(subject);

	subject->has_broken_reference = true;
	finding.detail = reference;
	CHECK_FOUND(checker, &finding, "{}: {} {} is nobody", finding.dn, span_of(what),
	    reference);
}

static void look_references(struct checker *checker, struct subject *subject,
    const char *what, struct values keys, struct values dns)
{
	struct span key, dn;
	struct record_id id;

	while (values_next(&keys, &key)) {
		enum status status = snapshot_by_dn(checker->view.snapshot, key, &id);

		if (!values_next(&dns, &dn)) {
			dn = key;
		}
		check_failed(checker, status);
		if (status == CX_NOTFOUND) {
			tell_reference(checker, subject, what, dn);
		}
	}
}

static void look_address(struct checker *checker, struct subject *subject,
    const char *what, struct span text)
{
	struct resolution resolution;
	struct address address;
	enum status status = address_parse_typed(text, &address);

	if (status == CX_OK && check_resolve(checker, &address, &resolution) &&
	    (resolution.verdict == VERDICT_UNKNOWN ||
		resolution.verdict == VERDICT_INVALID)) {
		status = CX_NOTFOUND;
	}
	if (status != CX_OK && !check_failed(checker, status)) {
		tell_reference(checker, subject, what, text);
	}
}

static void broken_reference(struct checker *checker, struct subject *subject)
{
	const struct recipient *recipient = &subject->found.recipient;
	struct values addresses = recipient->member_addresses;
	struct span text;

	if (!checker->knows_recipients) {
		return;
	}
	look_references(checker, subject, "alternate recipient", recipient->alternates,
	    recipient->alternate_dns);
	if (!span_is_empty(recipient->forwarding_address) &&
	    values_count(recipient->alternates) == 0) {
		look_address(checker, subject, "forwarding address",
		    recipient->forwarding_address);
	}
	look_references(checker, subject, "member", recipient->members,
	    recipient->member_dns);
	while (values_next(&addresses, &text)) {
		look_address(checker, subject, "member", text);
	}
}

/* --- What becomes of its mail --- */

static void look_verdict(struct checker *checker, struct subject *subject,
    enum verdict verdict, enum rule rule, const char *template)
{
	const struct resolution *resolution =
	    is_plain(subject) ? NULL : subject_resolution(checker, subject);
	char memory[ADDRESS_PRINT_MAX];
	struct finding finding;
	struct buf address;

	if (resolution == NULL || resolution->verdict != verdict ||
	    (rule != RULE_NONE && resolution->rule != rule)) {
		return;
	}
	buf_init_fixed(&address, memory, sizeof(memory));
	finding = finding_with_address(subject, &address);
	finding.detail = span_of(rule_text(resolution->rule));
	CHECK_FOUND(checker, &finding, template, finding.address, finding.dn);
}

static void loop(struct checker *checker, struct subject *subject)
{
	look_verdict(checker, subject, VERDICT_LOOP, RULE_NONE,
	    "{}: {} leads back to itself, or too deep; refused");
}

static void too_many(struct checker *checker, struct subject *subject)
{
	look_verdict(checker, subject, VERDICT_TOO_MANY, RULE_NONE,
	    "{}: {} has more deliveries than max_deliveries; deferred");
}

/* Where a broken reference is the reason, that has been told. */
static void nothing_left(struct checker *checker, struct subject *subject)
{
	if (checker->knows_recipients && !subject->has_broken_reference) {
		look_verdict(checker, subject, VERDICT_BROKEN, RULE_MISSING,
		    "{}: {} has nobody left to deliver to; deferred");
	}
}

static void tell_no_route(struct checker *checker, struct subject *subject)
{
	const struct recipient *recipient = &subject->found.recipient;
	char memory[ADDRESS_PRINT_MAX];
	struct finding finding;
	struct buf address;

	buf_init_fixed(&address, memory, sizeof(memory));
	finding = finding_with_address(subject, &address);
	if (!span_is_empty(recipient->home_server)) {
		finding.detail = recipient->home_server;
		CHECK_FOUND(checker, &finding, "{}: {}: no route to its home server {}",
		    finding.address, finding.dn, finding.detail);
	} else {
		finding.detail = recipient->target;
		CHECK_FOUND(checker, &finding,
		    "{}: {}: no route to {}: neither an address space of a connector nor "
		    "coexistForwardHost of its domain takes it",
		    finding.address, finding.dn, finding.detail);
	}
}

static bool lacks_route(struct checker *checker, const struct delivery *delivery)
{
	bool is_lost;

	check_failed(checker, delivery_lacks_route(&checker->view, delivery, &is_lost));
	return is_lost;
}

static bool is_own(const struct subject *subject, const struct delivery *delivery)
{
	return span_equal(delivery->object, subject->found.recipient.dn);
}

/* Its home server, where it matters beside alternates. */
static bool has_no_way_home(struct checker *checker, struct subject *subject)
{
	const struct recipient *recipient = &subject->found.recipient;
	char memory[NEXT_HOP_MAX];
	struct buf next_hop;
	enum status status;

	if ((recipient->flags & RECIPIENT_DELIVER_AND_REDIRECT) == 0 ||
	    span_is_empty(recipient->home_server)) {
		return false;
	}
	buf_init_fixed(&next_hop, memory, sizeof(memory));
	status = route(&checker->view, &subject->primary, &next_hop, NULL);
	check_failed(checker, status);
	return status == CX_EINVAL;
}

static void no_route(struct checker *checker, struct subject *subject)
{
	const struct resolution *resolution =
	    is_plain(subject) ? NULL : subject_resolution(checker, subject);
	bool is_custom = subject->found.recipient.kind == RECIPIENT_CUSTOM;
	bool is_found = false;
	size_t i;

	/* Of a group, it is its member that has none. */
	if (resolution == NULL || subject->found.recipient.kind == RECIPIENT_GROUP) {
		return;
	}
	if (resolution->verdict == VERDICT_BROKEN &&
	    resolution->rule == RULE_NO_ROUTE) {
		is_found = !subject_has_alternates(subject) ||
			   has_no_way_home(checker, subject);
	}
	for (i = 0; i < resolution->delivery_count && !is_found && is_custom; i++) {
		is_found = is_own(subject, &resolution->deliveries[i]) &&
			   lacks_route(checker, &resolution->deliveries[i]);
	}
	if (is_found) {
		tell_no_route(checker, subject);
	}
}

static void tell_back(struct checker *checker, struct subject *subject, const char *why,
    struct span detail)
{
	char memory[ADDRESS_PRINT_MAX];
	struct finding finding;
	struct buf address;

	buf_init_fixed(&address, memory, sizeof(memory));
	finding = finding_with_address(subject, &address);
	finding.detail = detail;
	CHECK_FOUND(checker, &finding, "{}: {}: {}{}", finding.address, finding.dn,
	    span_of(why), detail);
}

/*
 * What another system should get comes back at once: the next hop is this very host, or
 * what it is forwarded to leads to the object again (which adds nothing).
 */
static void comes_back(struct checker *checker, struct subject *subject)
{
	const struct resolution *resolution =
	    is_plain(subject) ? NULL : subject_resolution(checker, subject);
	struct span dn = subject->found.recipient.dn;
	size_t i;

	if (resolution == NULL || resolution->verdict != VERDICT_DELIVER) {
		return;
	}
	for (i = 0; i < resolution->delivery_count; i++) {
		const struct delivery *delivery = &resolution->deliveries[i];

		if (is_own(subject, delivery) && next_hop_is_here(delivery->next_hop)) {
			tell_back(checker, subject,
			    "its next hop is this host: ", delivery->next_hop);
			return;
		}
	}
	for (i = 0; i < resolution->step_count &&
		    subject->found.recipient.kind != RECIPIENT_GROUP;
	     i++) {
		if (resolution->steps[i].rule == RULE_LOOP &&
		    span_equal(resolution->steps[i].subject, dn)) {
			tell_back(checker, subject,
			    "what it forwards to leads back to it",
			    (struct span){ NULL, 0 });
			return;
		}
	}
}

static const struct check checks[] = {
	{ "brokenReference", "references to objects that are not there", NULL,
	    broken_reference },
	{ "nothingLeft", "recipients with nobody to deliver to", NULL, nothing_left },
	{ "loop", "loops", NULL, loop },
	{ "noRoute", "recipients of other systems with no route", NULL, no_route },
	{ "comesBack", "targets that come straight back", NULL, comes_back },
	{ "tooManyDeliveries", "recipients with too many deliveries", NULL, too_many },
	{ "targetOnMailbox", "mailboxes that have a target address as well", NULL,
	    target_on_mailbox },
	{ "mailNotPrimary", "objects whose mail is not their primary address", NULL,
	    mail_not_primary },
};

const struct check_group check_recipients = { checks,
	sizeof(checks) / sizeof(checks[0]) };
