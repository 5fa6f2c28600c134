#include "config.h"

#include "syncd/sources.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/log.h"
#include "syncd/source_slot.h"

/* Contact that is proven anew is written no more seldom than this. */
#define CONTACT_INTERVAL_MAX_S 30

static int64_t system_clock(void)
{
	return (int64_t)time(NULL);
}

/* --- Which section is which --- */

static void hash_text(EVP_MD_CTX *context, const char *text)
{
	EVP_DigestUpdate(context, text ? text : "", text ? strlen(text) + 1 : 1);
}

static void hash_number(EVP_MD_CTX *context, int64_t number)
{
	EVP_DigestUpdate(context, &number, sizeof(number));
}

/* What decides which entries there are and what they become. */
static void hash_request(EVP_MD_CTX *context, const struct conf_directory *conf,
    const struct mapping *mapping)
{
	hash_number(context, (int64_t)mapping_fingerprint(mapping));
	hash_text(context, conf->ldif);
	hash_text(context, conf->uri);
	hash_text(context, conf->base);
	hash_text(context, conf->scope);
	hash_text(context, mapping_filter(mapping));
	hash_text(context, conf->bind_dn);
	hash_text(context, conf->sasl_mech);
}

/* Where its entries come from, whatever the section is called and takes of them. */
static enum status hash_place(const struct conf_directory *conf, struct apply_place *out)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	enum status status = CX_ENOMEM;

	if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL)) {
		hash_text(context, conf->ldif);
		hash_text(context, conf->uri);
		hash_text(context, conf->base);
		hash_text(context, conf->scope);
		hash_text(context, conf->filter);
		status = EVP_DigestFinal_ex(context, out->bytes, NULL) ? CX_OK
								       : CX_ENOMEM;
	}
	EVP_MD_CTX_free(context);
	return status;
}

/* How they are got. */
static void hash_rest(EVP_MD_CTX *context, const struct conf_directory *conf)
{
	hash_text(context, conf->bind_password_file);
	hash_number(context, conf->starttls);
	hash_text(context, conf->tls_ca_file);
	hash_text(context, conf->tls_cert_file);
	hash_text(context, conf->tls_key_file);
	hash_number(context, conf->tls_verify);
	hash_number(context, conf->timeout_ms);
	hash_number(context, conf->sync);
	hash_number(context, conf->poll_interval_ms);
	hash_number(context, conf->full_interval_ms);
	hash_number(context, conf->max_delete_percent);
}

static enum status hash_section(struct slot *slot)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	enum status status = CX_ENOMEM;

	if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL)) {
		hash_request(context, slot->source.conf, slot->source.mapping);
		if (EVP_DigestFinal_ex(context, slot->applied.confhash, NULL) &&
		    EVP_DigestInit_ex(context, EVP_sha256(), NULL)) {
			EVP_DigestUpdate(context, slot->applied.confhash,
			    sizeof(slot->applied.confhash));
			hash_rest(context, slot->source.conf);
			status = EVP_DigestFinal_ex(context, slot->section, NULL)
				     ? CX_OK
				     : CX_ENOMEM;
		}
	}
	EVP_MD_CTX_free(context);
	return status;
}

/* --- Making and ending --- */

static void stop_slot(struct slot *slot)
{
	if (slot->is_started) {
		slot->source.ops->stop(&slot->source);
		slot->is_started = false;
	}
}

static void slot_free(struct slot *slot)
{
	if (!slot) {
		return;
	}
	stop_slot(slot);
	mapping_free(slot->source.mapping);
	conf_unref(slot->conf);
	free(slot->seen.hashes);
	buf_release(&slot->record);
	free(slot);
}

static enum status slot_new(struct sources *sources, struct conf *conf,
    const struct conf_directory *directory, struct slot **out, struct errbuf *err)
{
	struct slot *slot = calloc(1, sizeof(*slot));

	*out = NULL;
	if (!slot) {
		errbuf_set(err, "%s", status_text(CX_ENOMEM));
		return CX_ENOMEM;
	}
	buf_init(&slot->record);
	slot->owner = sources;
	slot->conf = conf_ref(conf);
	slot->applied.max_delete_percent = directory->max_delete_percent;
	slot->source = (struct source){
		.conf = directory,
		.ops =
		    directory->ldif && *directory->ldif ? &source_ldif : &source_ldap,
		.base = sources->base,
		.state = "stopped",
		.server = "",
		.apply = sources->apply,
		.scratch = apply_directory(sources->apply),
	};
	enum status status = mapping_new(directory, &slot->source.mapping, err);
	if (status == CX_OK) {
		status = hash_section(slot);
		if (status != CX_OK) {
			errbuf_set(err, "%s", status_text(status));
		}
	}
	if (status != CX_OK) {
		slot_free(slot);
		return status;
	}
	*out = slot;
	return CX_OK;
}

struct sources *sources_new(struct event_base *base, struct apply *apply,
    sources_clock *clock)
{
	struct sources *sources = calloc(1, sizeof(*sources));

	if (sources) {
		sources->base = base;
		sources->apply = apply;
		sources->clock = clock ? clock : system_clock;
	}
	return sources;
}

void sources_free(struct sources *sources)
{
	if (!sources) {
		return;
	}
	for (size_t i = 0; i < sources->count; i++) {
		slot_free(sources->slots[i]);
	}
	free(sources->slots);
	free(sources);
}

size_t sources_count(const struct sources *sources)
{
	return sources->count;
}

struct source *sources_at(const struct sources *sources, size_t index)
{
	return &sources->slots[index]->source;
}

static struct slot *find_slot(const struct sources *sources, const char *name)
{
	for (size_t i = 0; i < sources->count; i++) {
		if (strcmp(sources->slots[i]->source.conf->name, name) == 0) {
			return sources->slots[i];
		}
	}
	return NULL;
}

struct source *sources_find(const struct sources *sources, const char *name)
{
	struct slot *slot = find_slot(sources, name);

	return slot ? &slot->source : NULL;
}

/* --- A new configuration --- */

static void describe(const struct conf_directory *conf, struct source_info *out)
{
	*out = (struct source_info){
		.provides_recipients = conf->provides_recipients,
		.provides_domains = conf->provides_domains,
		.provides_connectors = conf->provides_connectors,
	};
	snprintf(out->name, sizeof(out->name), "%s", conf->name);
}

/* The slots of the new configuration: made anew or, where nothing changed, the old ones. */
static enum status make_slots(struct sources *sources, struct conf *conf,
    struct slot **slots, struct source_info *infos, struct apply_place *places,
    struct errbuf *err)
{
	enum status status = CX_OK;

	for (size_t i = 0; i < conf->directory_count && status == CX_OK; i++) {
		const struct conf_directory *directory = &conf->directories[i];
		struct slot *old = find_slot(sources, directory->name);

		if (strlen(directory->name) >= sizeof(infos[i].name)) {
			errbuf_set(err, "directory \"%s\": the name is too long",
			    directory->name);
			return CX_ECONF;
		}
		describe(directory, &infos[i]);
		status = hash_place(directory, &places[i]);
		if (status != CX_OK) {
			errbuf_set(err, "%s", status_text(status));
			return status;
		}
		status = slot_new(sources, conf, directory, &slots[i], err);
		if (status == CX_OK && old &&
		    memcmp(old->section, slots[i]->section, sizeof(old->section)) ==
			0) {
			slot_free(slots[i]);
			slots[i] = old;
			old->is_kept = true;
		}
	}
	return status;
}

/*
 * Contact is proven and written often enough for a healthy directory to stay younger
 * than the ages at which decisions begin to wait (SPEC section 10).
 */
static int64_t contact_interval_s(const struct settings *settings)
{
	int64_t age = settings->unknown_defer_after_s < settings->max_staleness_s
	    ? settings->unknown_defer_after_s
	    : settings->max_staleness_s;

	age /= 3;
	return age < 1 ? 1 : age > CONTACT_INTERVAL_MAX_S ? CONTACT_INTERVAL_MAX_S : age;
}

static void start_slot(struct slot *slot, uint8_t id)
{
	struct source *source = &slot->source;
	const struct conf_directory *conf = source->conf;

	source->id = slot->applied.id = id;
	if (conf->domains && conf->domains[0]) {
		log_info("directory=%s is limited to its domains: addresses of other types "
			 "than SMTP are not taken from it", conf->name);
	}
	enum status status = source->ops->start(source);
	slot->is_started = status == CX_OK;
	if (status != CX_OK) {
		source_error(source, "cannot start: %s", status_text(status));
	}
}

/* What was counted since the start goes on, whatever of its section has changed. */
static void take_counts(struct source *source, const struct sources *old)
{
	const struct source *before = sources_find(old, source->conf->name);

	if (before) {
		source->entries_skipped = before->entries_skipped;
		source->changes_applied = before->changes_applied;
		source->refreshes = before->refreshes;
		source->errors = before->errors;
	}
}

static void adopt(struct sources *sources, struct slot **slots, size_t count,
    const struct source_info *infos, const struct settings *settings)
{
	int64_t interval_s = contact_interval_s(settings);

	for (size_t i = 0; i < count; i++) {
		if (!slots[i]->is_kept) {
			take_counts(&slots[i]->source, sources);
		}
	}
	for (size_t i = 0; i < sources->count; i++) {
		if (!sources->slots[i]->is_kept) {
			slot_free(sources->slots[i]);
		}
	}
	free(sources->slots);
	sources->slots = slots;
	sources->count = count;
	for (size_t i = 0; i < count; i++) {
		slots[i]->applied.contact_interval_s = interval_s;
		slots[i]->source.contact_ms = interval_s * 1000;
		if (!slots[i]->is_kept) {
			start_slot(slots[i], infos[i].id);
		}
		slots[i]->is_kept = false;
	}
}

enum status sources_configure(struct sources *sources, struct conf *conf,
    struct errbuf *err)
{
	struct source_info infos[STORE_SOURCES_MAX];
	struct apply_place places[STORE_SOURCES_MAX];
	size_t count = conf->directory_count;
	enum status status;

	if (count > STORE_SOURCES_MAX) {
		errbuf_set(err, "more than %d directories", STORE_SOURCES_MAX);
		return CX_ECONF;
	}
	struct slot **slots = calloc(count ? count : 1, sizeof(struct slot *));
	if (!slots) {
		errbuf_set(err, "%s", status_text(CX_ENOMEM));
		return CX_ENOMEM;
	}
	status = make_slots(sources, conf, slots, infos, places, err);
	if (status == CX_OK) {
		/* What they still have to write must not come after what is removed. */
		for (size_t i = 0; i < sources->count; i++) {
			if (!sources->slots[i]->is_kept) {
				stop_slot(sources->slots[i]);
			}
		}
		status = apply_sources(sources->apply, infos, places, count, err);
		if (status == CX_OK) {
			adopt(sources, slots, count, infos, &conf->settings);
			return CX_OK;
		}
		for (size_t i = 0; i < sources->count; i++) {
			struct slot *old = sources->slots[i];

			if (!old->is_kept) {
				start_slot(old, old->source.id);
			}
		}
	}
	for (size_t i = 0; i < count; i++) {
		if (slots[i] && !slots[i]->is_kept) {
			slot_free(slots[i]);
		}
	}
	for (size_t i = 0; i < sources->count; i++) {
		sources->slots[i]->is_kept = false;
	}
	free(slots);
	return status;
}

enum status sources_accept(struct sources *sources, struct source *source,
    size_t *removed, struct errbuf *err)
{
	enum status status = apply_accept(sources->apply, source->id, removed, err);

	if (status == CX_OK) {
		log_warnx("directory=%s removals accepted: %zu", source->conf->name,
		    *removed);
	}
	return status;
}

enum status sources_report(struct sources *sources, struct source *source,
    struct apply_report *out)
{
	return apply_report(sources->apply, source->id, out);
}
