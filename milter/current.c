#include "config.h"

#include "milter/current.h"

#include <string.h>

#include "daemon/log.h"
#include "metrics/http.h"

struct conf *current_hold(void *context)
{
	struct current *current = context;
	struct conf *conf;

	pthread_mutex_lock(&current->lock);
	conf = conf_ref(current->conf);
	pthread_mutex_unlock(&current->lock);
	return conf;
}

struct keys *current_hold_keys(void *context)
{
	struct current *current = context;
	struct keys *keys;

	pthread_mutex_lock(&current->lock);
	keys = keys_ref(current->keys);
	pthread_mutex_unlock(&current->lock);
	return keys;
}

void current_replace(struct current *current, struct conf *conf, struct keys *keys)
{
	struct conf *old;
	struct keys *old_keys;

	pthread_mutex_lock(&current->lock);
	old = current->conf;
	old_keys = current->keys;
	current->conf = conf;
	current->keys = keys;
	pthread_mutex_unlock(&current->lock);
	conf_unref(old);
	keys_unref(old_keys);
}

void current_warn_without_secret(const struct keys *keys)
{
	if (keys->site.count == 0) {
		log_warnx("no secret_file: mail that comes back is not known, and goes round");
	}
}

static void warn_if_other(const char *key, const char *old, const char *new)
{
	if (strcmp(old, new) != 0) {
		log_warnx("%s takes effect with the next start only", key);
	}
}

void current_reload(struct current *current, const char *path)
{
	struct errbuf err;
	struct conf *old;
	struct conf *new;
	struct keys *keys;

	if (conf_load(path, &new, &err) != CX_OK) {
		log_error("configuration not reloaded: %s", err.text);
		return;
	}
	if (keys_load(new, &keys, &err) != CX_OK) {
		log_error("configuration not reloaded: %s", err.text);
		conf_unref(new);
		return;
	}
	old = current_hold(current);
	warn_if_other("replica", old->replica, new->replica);
	warn_if_other("milter listen", old->milter.listen, new->milter.listen);
	warn_if_other("milter user", old->milter.user, new->milter.user);
	metrics_warn_of_restart(old->milter.metrics_listen, new->milter.metrics_listen);
	conf_unref(old);
	log_set_level(new->log_level);
	current_warn_without_secret(keys);
	current_replace(current, new, keys);
	log_info("configuration reloaded");
}
