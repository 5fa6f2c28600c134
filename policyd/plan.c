#include "config.h"

#include "policyd/plan.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/listener.h"
#include "daemon/log.h"

struct listening {
	atomic_uint refs;
	int fd;
	char spec[];
};

struct replica {
	atomic_uint refs;
	struct store *store;
	struct store_watch *watch;
	char path[];
};

/* The sockets of one service; `fds` beside them for those who only listen. */
struct group {
	struct listening **items;
	int *fds;
	size_t count;
};

struct plan {
	atomic_uint refs;
	struct conf *conf;
	struct keys *keys;
	struct replica *replica;
	struct group policy;
	struct group map;
};

static void listening_unref(struct listening *l)
{
	if (atomic_fetch_sub(&l->refs, 1) == 1) {
		log_info("no longer listening on %s", l->spec);
		/* The file first: nobody shall find it and be refused. */
		listener_remove(l->spec);
		(void)close(l->fd);
		free(l);
	}
}

static void replica_unref(struct replica *r)
{
	if (r != NULL && atomic_fetch_sub(&r->refs, 1) == 1) {
		store_watch_free(r->watch);
		store_close(r->store);
		free(r);
	}
}

static void tell(void *unused, const char *why)
{
	(void)unused;
	if (why != NULL) {
		log_warnx("replica: %s", why);
	} else {
		log_info("replica: can be read again");
	}
}

static void group_release(struct group *group)
{
	for (size_t i = 0; i < group->count; i++) {
		listening_unref(group->items[i]);
	}
	free(group->items);
	free(group->fds);
}

static struct listening *find_in_group(const struct group *group, const char *spec)
{
	for (size_t i = 0; i < group->count; i++) {
		if (strcmp(group->items[i]->spec, spec) == 0) {
			return group->items[i];
		}
	}
	return NULL;
}

static enum status listening_open(const char *spec, const char *service,
    struct listening **out, struct errbuf *err)
{
	struct listening *l = calloc(1, sizeof(*l) + strlen(spec) + 1);
	char name[256];
	enum status status;

	if (l == NULL) {
		errbuf_set(err, "%s: out of memory", spec);
		return CX_ENOMEM;
	}
	status = listener_open(spec, SOMAXCONN, &l->fd, err);
	if (status != CX_OK) {
		free(l);
		return status;
	}
	memcpy(l->spec, spec, strlen(spec) + 1);
	atomic_init(&l->refs, 1);
	listener_name(l->fd, name, sizeof(name));
	log_info("%s service listens on %s", service, name);
	*out = l;
	return CX_OK;
}

/* A socket that the old plan has, for whichever service, is taken over. */
static enum status group_open(struct group *group, const char *const *specs,
    const char *service, const struct plan *previous, struct errbuf *err)
{
	size_t wanted = 0;

	while (specs[wanted] != NULL) {
		wanted++;
	}
	group->items = calloc(wanted + 1, sizeof(struct listening *));
	group->fds = calloc(wanted + 1, sizeof(int));
	if (group->items == NULL || group->fds == NULL) {
		errbuf_set(err, "out of memory");
		return CX_ENOMEM;
	}
	for (size_t i = 0; i < wanted; i++) {
		struct listening *l = NULL;
		enum status status;

		if (previous != NULL) {
			l = find_in_group(&previous->policy, specs[i]);
			if (l == NULL) {
				l = find_in_group(&previous->map, specs[i]);
			}
		}
		if (l != NULL) {
			atomic_fetch_add(&l->refs, 1);
		} else {
			status = listening_open(specs[i], service, &l, err);
			if (status != CX_OK) {
				return status;
			}
		}
		group->items[i] = l;
		group->fds[i] = l->fd;
		group->count = i + 1;
	}
	return CX_OK;
}

enum status plan_new(struct conf *conf, struct plan *previous, struct plan **out,
    struct errbuf *err)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	enum status status;

	if (plan == NULL) {
		errbuf_set(err, "out of memory");
		return CX_ENOMEM;
	}
	atomic_init(&plan->refs, 1);
	plan->conf = conf_ref(conf);
	status = keys_load_srs(conf, &plan->keys, err);
	if (status == CX_OK) {
		status = group_open(&plan->policy, conf->policyd.policy_listen,
		    "policy", previous, err);
	}
	if (status == CX_OK) {
		status = group_open(&plan->map, conf->policyd.map_listen, "map",
		    previous, err);
	}
	if (status != CX_OK) {
		plan_unref(plan);
		return status;
	}
	*out = plan;
	return CX_OK;
}

enum status plan_open_replica(struct plan *plan, struct plan *previous,
    struct errbuf *err)
{
	const char *path = plan->conf->replica;
	struct replica *r;
	enum status status;

	if (previous != NULL && strcmp(previous->replica->path, path) == 0) {
		atomic_fetch_add(&previous->replica->refs, 1);
		plan->replica = previous->replica;
		return CX_OK;
	}
	r = calloc(1, sizeof(*r) + strlen(path) + 1);
	if (r == NULL) {
		errbuf_set(err, "out of memory");
		return CX_ENOMEM;
	}
	status = store_open(path, &r->store, err);
	if (status != CX_OK) {
		free(r);
		return status;
	}
	status = store_watch_new(r->store, tell, NULL, &r->watch);
	if (status != CX_OK) {
		errbuf_set(err, "%s", status_text(status));
		store_close(r->store);
		free(r);
		return status;
	}
	memcpy(r->path, path, strlen(path) + 1);
	atomic_init(&r->refs, 1);
	plan->replica = r;
	return CX_OK;
}

struct plan *plan_ref(struct plan *plan)
{
	atomic_fetch_add(&plan->refs, 1);
	return plan;
}

bool plan_is_last(const struct plan *plan)
{
	return atomic_load(&plan->refs) == 1;
}

void plan_unref(struct plan *plan)
{
	if (plan == NULL || atomic_fetch_sub(&plan->refs, 1) != 1) {
		return;
	}
	group_release(&plan->policy);
	group_release(&plan->map);
	replica_unref(plan->replica);
	keys_unref(plan->keys);
	conf_unref(plan->conf);
	free(plan);
}

const struct conf *plan_conf(const struct plan *plan)
{
	return plan->conf;
}

const struct keys *plan_keys(const struct plan *plan)
{
	return plan->keys;
}

struct store *plan_store(const struct plan *plan)
{
	return plan->replica->store;
}

struct plan_sockets plan_policy_sockets(const struct plan *plan)
{
	return (struct plan_sockets){ plan->policy.fds, plan->policy.count };
}

struct plan_sockets plan_map_sockets(const struct plan *plan)
{
	return (struct plan_sockets){ plan->map.fds, plan->map.count };
}
