/* proxy/admin/http.c - see http.h. */
#include "proxy/admin/http.h"

#include "proxy/core/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct dia_admin {
	struct MHD_Daemon *daemon;
	const struct dia_admin_ops *ops;
	void *ctx;
	uint16_t port;
};

enum { GET_TIMEOUT_S = 5, GET_MAX = 64 << 20 };

static const char page_text[] =
	"diarchy\n\n/status   JSON\n/metrics  Prometheus\n/healthz  the process works\n"
	"/readyz   clients are served and replication runs\n";

/* Takes over the body's storage: microhttpd frees it. */
static enum MHD_Result reply(struct MHD_Connection *conn, unsigned code, const char *type,
	struct dia_buf *body)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	if (body->failed || body->len == 0) {
		dia_buf_fini(body);
		code = MHD_HTTP_INTERNAL_SERVER_ERROR;
		response = MHD_create_response_from_buffer(
			0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
	} else {
		response = MHD_create_response_from_buffer(
			body->len, body->data, MHD_RESPMEM_MUST_FREE);
	}
	if (response == NULL) {
		dia_buf_fini(body);
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	(void)MHD_add_response_header(
		response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	result = MHD_queue_response(conn, code, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result answer(void *ctx, struct MHD_Connection *conn, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_len,
	void **state)
{
	static int seen_headers;
	struct dia_admin *admin = ctx;
	struct dia_buf body = {0};
	bool good;

	(void)version;
	(void)upload;
	/* microhttpd calls once for the headers and again when the request is complete.
	 */
	if (*state == NULL) {
		*state = &seen_headers;
		return MHD_YES;
	}
	if (*upload_len > 0) {
		*upload_len = 0;
		return MHD_YES;
	}
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		(void)dia_buf_add_str(&body, "only GET\n");
		return reply(conn, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", &body);
	}
	if (strcmp(url, "/status") == 0) {
		admin->ops->status(admin->ctx, &body);
		return reply(conn, MHD_HTTP_OK, "application/json", &body);
	}
	if (strcmp(url, "/metrics") == 0) {
		admin->ops->metrics(admin->ctx, &body);
		return reply(conn, MHD_HTTP_OK,
			"text/plain; version=0.0.4; charset=utf-8", &body);
	}
	if (strcmp(url, "/healthz") == 0 || strcmp(url, "/readyz") == 0) {
		good = url[1] == 'h' ? admin->ops->healthy(admin->ctx, &body)
				     : admin->ops->ready(admin->ctx, &body);
		if (body.len == 0)
			(void)dia_buf_add_str(&body, good ? "ok" : "not ready");
		(void)dia_buf_add_u8(&body, '\n');
		return reply(conn, good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
			"text/plain", &body);
	}
	if (strcmp(url, "/") == 0) {
		(void)dia_buf_add_str(&body, page_text);
		return reply(conn, MHD_HTTP_OK, "text/plain", &body);
	}
	(void)dia_buf_add_str(&body, "not found; see /\n");
	return reply(conn, MHD_HTTP_NOT_FOUND, "text/plain", &body);
}

/* Resolve "host:port" ("[::1]:7506" too). */
static enum dia_rc resolve(const char *address, struct sockaddr_storage *ret,
	socklen_t *ret_len, struct dia_err *reterr)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM},
			*found = NULL;
	const char *colon = strrchr(address, ':'), *host = address;
	char name[256];
	size_t len;
	int failed;

	if (colon == NULL)
		return dia_err_set(reterr, DIA_E_CONFIG, 0,
			"admin address '%s' is not host:port", address);
	len = (size_t)(colon - address);
	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	if (len >= sizeof(name))
		return dia_err_set(reterr, DIA_E_CONFIG, 0,
			"admin address '%s' is too long", address);
	memcpy(name, host, len);
	name[len] = '\0';
	failed = getaddrinfo(name, colon + 1, &hints, &found);
	if (failed != 0)
		return dia_err_set(reterr, DIA_E_CONFIG, 0, "admin address '%s': %s",
			address, gai_strerror(failed));
	memcpy(ret, found->ai_addr, found->ai_addrlen);
	*ret_len = found->ai_addrlen;
	freeaddrinfo(found);
	return DIA_OK;
}

static bool is_loopback(const struct sockaddr_storage *addr)
{
	if (addr->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)addr;

		return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
	}
	if (addr->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)addr;

		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) != 0;
	}
	return false;
}

enum dia_rc dia_admin_start(const char *address, const struct dia_admin_ops *ops,
	void *ctx, struct dia_admin **ret, struct dia_err *reterr)
{
	unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO;
	struct sockaddr_storage addr;
	const union MHD_DaemonInfo *info;
	struct dia_admin *admin;
	socklen_t addr_len;
	enum dia_rc rc = resolve(address, &addr, &addr_len, reterr);

	if (rc != DIA_OK)
		return rc;
	if (!is_loopback(&addr))
		return dia_err_set(reterr, DIA_E_CONFIG, 0,
			"admin address '%s' is not a loopback address; the admin pages "
			"have no "
			"password, so use 127.0.0.1 and a tunnel",
			address);
	admin = calloc(1, sizeof(*admin));
	if (admin == NULL)
		return dia_err_set(
			reterr, DIA_E_NOMEM, 0, "no memory for the admin server");
	admin->ops = ops;
	admin->ctx = ctx;
	if (addr.ss_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	errno = 0;
	admin->daemon = MHD_start_daemon(flags, 0, NULL, NULL, answer, admin,
		MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&addr,
		MHD_OPTION_CONNECTION_LIMIT, 64u, MHD_OPTION_CONNECTION_TIMEOUT, 30u,
		MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
	if (admin->daemon == NULL) {
		int failed = errno;

		free(admin);
		return dia_err_set(reterr, DIA_E_IO, failed,
			"admin address '%s': cannot listen: %s", address,
			failed != 0 ? strerror(failed) : "unknown reason");
	}
	info = MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_BIND_PORT);
	admin->port = info == NULL ? 0 : info->port;
	dia_log(DIA_LOG_INFO, "admin", "listening", "address=%s port=%u", address,
		admin->port);
	*ret = admin;
	return DIA_OK;
}

uint16_t dia_admin_port(const struct dia_admin *admin)
{
	return admin->port;
}

void dia_admin_close(struct dia_admin *admin)
{
	if (admin == NULL)
		return;
	MHD_stop_daemon(admin->daemon);
	free(admin);
}

/* Everything until the server closes; the request says Connection: close. */
static enum dia_rc read_all(
	int fd, const char *address, struct dia_buf *out, struct dia_err *reterr)
{
	for (;;) {
		ssize_t n;

		if (out->len > GET_MAX || dia_buf_reserve(out, 16384) != DIA_OK)
			return dia_err_set(reterr, DIA_E_LIMIT, 0,
				"answer of %s is too large", address);
		n = read(fd, out->data + out->len, 16384);
		if (n == 0)
			return DIA_OK;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return dia_err_set(reterr, DIA_E_IO, errno,
				"no answer from %s: %s", address, strerror(errno));
		out->len += (size_t)n;
	}
}

/* Status line and headers off; dia_buf has room for a terminator through reserve. */
static enum dia_rc strip_head(struct dia_buf *out, int *http_code)
{
	uint8_t *body = out->len == 0 ? NULL : memmem(out->data, out->len, "\r\n\r\n", 4);

	if (body == NULL || out->len < 12 || memcmp(out->data, "HTTP/1.", 7) != 0)
		return DIA_E_PROTOCOL;
	*http_code = atoi((const char *)out->data + 9);
	dia_buf_consume(out, (size_t)(body - out->data) + 4);
	return DIA_OK;
}

enum dia_rc dia_admin_get(const char *address, const char *path, struct dia_buf *out,
	int *http_code, struct dia_err *reterr)
{
	struct timeval limit = {.tv_sec = GET_TIMEOUT_S};
	struct sockaddr_storage addr;
	struct dia_buf request = {0};
	socklen_t addr_len;
	int fd = -1;
	enum dia_rc rc = resolve(address, &addr, &addr_len, reterr);

	if (rc != DIA_OK)
		return rc;
	fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0 ||
		connect(fd, (struct sockaddr *)&addr, addr_len) != 0) {
		rc = dia_err_set(reterr, DIA_E_IO, errno,
			"cannot reach diarchy at %s: %s; is it running?", address,
			strerror(errno));
		goto out;
	}
	(void)dia_buf_printf(&request,
		"GET %s HTTP/1.1\r\nHost: diarchy\r\nConnection: close\r\n\r\n", path);
	if (request.failed ||
		write(fd, request.data, request.len) != (ssize_t)request.len) {
		rc = dia_err_set(reterr, DIA_E_IO, errno, "cannot ask %s: %s", address,
			strerror(errno));
		goto out;
	}
	rc = read_all(fd, address, out, reterr);
	if (rc == DIA_OK && strip_head(out, http_code) != DIA_OK)
		rc = dia_err_set(reterr, DIA_E_PROTOCOL, 0,
			"%s does not answer as diarchy does", address);
out:
	if (fd >= 0)
		(void)close(fd);
	dia_buf_fini(&request);
	return rc;
}
