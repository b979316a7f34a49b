/*
 * parser/binlog/binlog_statement.h - what a BINLOG statement carries.
 *
 * BINLOG '<base64>' applies row events through the storage engine (MariaDB documentation,
 * "BINLOG"). The connection's first one has to bring a Format_description event; it stays
 * for the connection. Later ones hold, in this order: the Table_map events of every table
 * concerned, then Rows events of these tables in any mixture, the last of which alone has
 * DIA_ROWS_STMT_END. Events carry no checksum.
 */
#ifndef DIA_BINLOG_BINLOG_STATEMENT_H
#define DIA_BINLOG_BINLOG_STATEMENT_H

#include "parser/binlog/event.h"

/*
 * Append a Format_description event that announces events without checksum and with the
 * post-header lengths this library writes. server_version is the text of SELECT VERSION()
 * of the server it is sent to (longer than 49 bytes is cut).
 */
DIA_MUST_CHECK enum dia_rc dia_format_event_write(
	struct dia_buf *out, const char *server_version);

/* Append "BINLOG '" base64(events) "'". Send it as a statement of its own: what follows
 * it in a multi-statement is dropped by the server without an error. */
DIA_MUST_CHECK enum dia_rc dia_binlog_statement(
	struct dia_buf *out, struct dia_slice events);

/* Length of the statement for so many bytes of events, to stay under max_allowed_packet.
 */
size_t dia_binlog_statement_len(size_t events_len);

#endif /* DIA_BINLOG_BINLOG_STATEMENT_H */
