/*
 * proxy/capture/binlog_reader.h - the binlog of the DC's own server as a stream of
 * events.
 *
 * Attaches as a replica by GTID (MariaDB documentation, "Replication protocol" and
 * COM_BINLOG_DUMP). The library logs in and sets the session up; from the dump command on
 * the reader itself reads packets from the socket: that way it knows whether more is
 * waiting, can be stopped from another thread, takes many events with one read, and no
 * event passes through a second parser. Rotate, Format_description, Gtid_list, checkpoint
 * and heartbeat events end here.
 *
 * One thread uses a reader; only stop may be called from any.
 */
#ifndef DIA_CAPTURE_BINLOG_READER_H
#define DIA_CAPTURE_BINLOG_READER_H

#include "parser/binlog/event.h"
#include "proxy/backend/mariadb.h"
#include "proxy/core/clock.h"

struct dia_reader;

struct dia_reader_config {
	const struct dia_config *config;
	/* Of this replica. The server ends a dump thread when another one comes with the
	 * same id: each reader that runs at the same time needs its own. */
	uint32_t server_id;
	struct dia_clock clock;
};

DIA_MUST_CHECK enum dia_rc dia_reader_new(const struct dia_reader_config *config,
	struct dia_reader **ret, struct dia_err *reterr);
void dia_reader_free(struct dia_reader *r);
/* From any thread: whatever the reader does or will do gives DIA_E_STOPPED soon. */
void dia_reader_stop(struct dia_reader *r);

/*
 * Attach behind `from`. *ret_server (may be NULL) is @@gtid_binlog_pos read just before.
 * DIA_E_DB_GONE, DIA_E_DB_RETRY: try again later; other errors stand in the way until
 * someone acts (account, privileges, TLS).
 */
DIA_MUST_CHECK enum dia_rc dia_reader_attach(struct dia_reader *r,
	const struct dia_gtid_pos *from, struct dia_gtid_pos *ret_server,
	struct dia_err *reterr);
void dia_reader_detach(struct dia_reader *r);

/*
 * The next event of a group, borrowed until the next call. DIA_E_AGAIN when none came
 * within timeout_ms (0: only what is already here). DIA_E_DB_GONE: attach again.
 * DIA_E_LOST_TAIL: the server does not have what follows `from` any more (purged) or
 * never had it (it lost commits). DIA_E_PROTOCOL: damaged binlog.
 */
DIA_MUST_CHECK enum dia_rc dia_reader_next(struct dia_reader *r, unsigned timeout_ms,
	struct dia_event *ret, struct dia_err *reterr);

struct dia_reader_stats {
	char file[256];
	uint64_t pos;
	uint64_t events, bytes;
	uint64_t idle_us;    /* monotonic: when it last had nothing to read */
	uint64_t heartbeats; /* the server sends them when it has nothing else to send */
};
void dia_reader_stats(const struct dia_reader *r, struct dia_reader_stats *ret);

#endif /* DIA_CAPTURE_BINLOG_READER_H */
