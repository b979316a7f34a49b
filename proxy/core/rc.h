/*
 * proxy/core/rc.h - result codes of every function that can fail.
 *
 * One X-macro gives the enum, the text a person reads and the metric label. Zero is
 * success, everything else is negative.
 */
#ifndef DIA_CORE_RC_H
#define DIA_CORE_RC_H

#define DIA_MUST_CHECK       __attribute__((warn_unused_result))
#define DIA_PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))

/* X(name, value, metric label, text) */
#define DIA_RC_LIST(X)                                                            \
	X(DIA_OK, 0, "ok", "success")                                             \
	X(DIA_E_NOMEM, -1, "nomem", "out of memory")                              \
	X(DIA_E_IO, -2, "io", "input/output error")                               \
	X(DIA_E_PROTOCOL, -3, "protocol", "malformed or unexpected input")        \
	X(DIA_E_LIMIT, -4, "limit", "a configured or protocol limit was reached") \
	X(DIA_E_AGAIN, -5, "again", "not possible now, try again when woken")     \
	X(DIA_E_CLOSED, -6, "closed", "the other side closed the connection")     \
	X(DIA_E_TIMEOUT, -7, "timeout", "timed out")                              \
	X(DIA_E_CONFIG, -8, "config", "configuration error")                      \
	X(DIA_E_AUTH, -9, "auth", "authentication failed")                        \
	X(DIA_E_DB, -10, "db", "database error that repeating will not cure")     \
	X(DIA_E_DB_RETRY, -11, "db_retry",                                        \
		"transient database error, the transaction is rolled back")       \
	X(DIA_E_DB_GONE, -12, "db_gone", "connection to the database lost")       \
	X(DIA_E_NOT_FOUND, -13, "not_found", "not found")                         \
	X(DIA_E_EXISTS, -14, "exists", "already exists")                          \
	X(DIA_E_UNSUPPORTED, -15, "unsupported", "not supported")                 \
	X(DIA_E_STATE, -16, "state", "not allowed in this state")                 \
	X(DIA_E_LOST_TAIL, -17, "lost_tail",                                      \
		"the database no longer has transactions it had shipped")         \
	X(DIA_E_SKEW, -18, "skew", "stamp too far in the future")                 \
	X(DIA_E_STOPPED, -19, "stopped", "stopping")

enum dia_rc {
#define DIA_RC_ENUM(name, value, label, text) name = value,
	DIA_RC_LIST(DIA_RC_ENUM)
#undef DIA_RC_ENUM
};

/* Result of parsers: BAD is final; MORE means the bytes so far are a valid prefix. */
enum dia_parse {
	DIA_PARSE_OK = 0,
	DIA_PARSE_MORE = 1,
	DIA_PARSE_BAD = -1,
};

/* Static strings, never NULL. */
const char *dia_rc_text(enum dia_rc rc);
const char *dia_rc_label(enum dia_rc rc);

#endif /* DIA_CORE_RC_H */
