/*
 * proxy/admin/http.h - the admin HTTP server: /status /metrics /healthz /readyz and a
 * page.
 *
 * Read-only: nothing can be changed through it. One thread of libmicrohttpd's own; the
 * provider is called there and must do its own locking. Binds to a loopback address only:
 * it has no authentication yet, so start refuses any other.
 */
#ifndef DIA_ADMIN_HTTP_H
#define DIA_ADMIN_HTTP_H

#include "proxy/core/buf.h"
#include "proxy/core/err.h"

struct dia_admin_ops {
	/* Append the body. */
	void (*status)(void *ctx, struct dia_buf *out);  /* JSON */
	void (*metrics)(void *ctx, struct dia_buf *out); /* Prometheus text */
	/* True if serving; otherwise *out says why not, in one line. healthz: the process
	 * works; readyz: clients can be served and replication runs. */
	bool (*healthy)(void *ctx, struct dia_buf *out);
	bool (*ready)(void *ctx, struct dia_buf *out);
};

struct dia_admin;

/* address is "host:port"; port 0 picks one (tests). ops and ctx outlive the server. */
DIA_MUST_CHECK enum dia_rc dia_admin_start(const char *address,
	const struct dia_admin_ops *ops, void *ctx, struct dia_admin **ret,
	struct dia_err *reterr);
uint16_t dia_admin_port(const struct dia_admin *admin);
void dia_admin_close(struct dia_admin *admin); /* NULL is fine */

/* GET http://address/path into out (the client of `diarchy status`); loopback, 5 s.
 * *http_code is the status line's number. */
DIA_MUST_CHECK enum dia_rc dia_admin_get(const char *address, const char *path,
	struct dia_buf *out, int *http_code, struct dia_err *reterr);

#endif /* DIA_ADMIN_HTTP_H */
