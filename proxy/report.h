/*
 * proxy/report.h - the parts of one running diarchy, and what they report.
 */
#ifndef DIA_PROXY_REPORT_H
#define DIA_PROXY_REPORT_H

#include "proxy/admin/http.h"
#include "proxy/apply/apply.h"
#include "proxy/capture/capture.h"
#include "proxy/client/server.h"
#include "proxy/commands.h"
#include "proxy/peer/link.h"

#include <pthread.h>

/*
 * Parts in the order they start; NULL is not running. Pointers change only under
 * parts_lock, which reports take for as long as they read: admin and console run on other
 * threads.
 */
struct dia_process {
	const struct dia_config *config;
	struct dia_clock clock;
	uint64_t started_us; /* monotonic */
	pthread_rwlock_t parts_lock;
	struct dia_admin *admin; /* started first, closed first; not under the lock */
	struct dia_capture *capture;
	struct dia_engine *engine;
	pthread_mutex_t engine_lock;
	struct dia_apply *apply;
	struct dia_link *link;
	struct dia_link_peer peers[DIA_CONFIG_PEERS_MAX]; /* the link borrows them */
	struct dia_client_server *clients;
	char waiting_for[512]; /* while starting: for what; under parts_lock */
};

/* ctx of these is the struct dia_process. */
extern const struct dia_admin_ops dia_report_ops;
void dia_report_metrics(void *ctx, struct dia_buf *out);
enum dia_rc dia_report_console(void *ctx, enum dia_guard_kind what,
	struct dia_console_result *res, struct dia_err *reterr);

#endif /* DIA_PROXY_REPORT_H */
