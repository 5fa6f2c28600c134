#include "config.h"

#include <stdlib.h>
#include <sysexits.h>

#include "daemon/log.h"
#include "daemon/process.h"
#include "policyd/server.h"

static void reload(struct process *process, struct server *server)
{
	struct errbuf err = { "" };
	struct conf *conf = NULL;

	process_reloading();
	if (conf_load(process->conf_path, &conf, &err) == CX_OK &&
	    server_reload(server, conf, &err) == CX_OK) {
		log_set_level(conf->log_level);
		log_info("configuration reloaded");
	} else {
		log_error("configuration not reloaded: %s", err.text);
	}
	conf_unref(conf);
	process_ready(process);
}

static int exit_code(enum status status)
{
	return status == CX_ECONF ? EX_CONFIG : EX_OSERR;
}

static int serve(struct process *process, struct conf *conf)
{
	struct errbuf err = { "" };
	struct server *server = NULL;
	enum status status = server_open(conf, &server, &err);

	if (status == CX_OK) {
		process_detach(process);
		status = process_drop_user(conf->policyd.user, &err);
	}
	if (status == CX_OK) {
		status = server_start(server, &err);
	}
	if (status != CX_OK) {
		log_error("%s", err.text);
		server_close(server);
		return exit_code(status);
	}
	process_ready(process);
	while (process_wait_signal() == PROCESS_RELOAD) {
		reload(process, server);
	}
	process_stopping();
	server_stop(server);
	server_close(server);
	log_info("stopped");
	return EX_OK;
}

int main(int argc, char **argv)
{
	struct process process;
	struct conf *conf;
	int code;

	log_open("coexist-policyd");
	process_arguments(&process, "coexist-policyd", argc, argv);
	process_block_signals();
	conf = process_load_conf(&process);
	log_set_level(conf->log_level);
	code = serve(&process, conf);
	conf_unref(conf);
	return code;
}
