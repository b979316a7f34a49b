/*
 * proxy/capture/refused.h - what was written but cannot be replicated.
 *
 * Nothing is dropped silently: every table (or kind of statement) that is left out is
 * logged once per reason, counted for the metrics and listed for the status. Thread-safe.
 */
#ifndef DIA_CAPTURE_REFUSED_H
#define DIA_CAPTURE_REFUSED_H

#include "proxy/core/change.h"
#include "proxy/core/clock.h"

/* X(name, label of metric and log, what to do) */
#define DIA_REFUSED_LIST(X)                                                            \
	X(NO_PRIMARY_KEY, "no_primary_key", "give the table a primary key")            \
	X(NOT_TRANSACTIONAL, "not_transactional", "ALTER TABLE ... ENGINE=InnoDB")     \
	X(STATEMENT_FORMAT, "statement_format",                                        \
		"set binlog_format=ROW everywhere, also in sessions")                  \
	X(NO_METADATA, "no_metadata", "set binlog_row_metadata=FULL")                  \
	X(PARTIAL_IMAGE, "partial_image",                                              \
		"set binlog_row_image=FULL everywhere, also in sessions")              \
	X(UNREADABLE, "unreadable", "report this: a row event could not be decoded")   \
	X(OWN_SCHEMA, "own_schema", "leave the schema diarchy to diarchy")             \
	X(SYSTEM_SCHEMA, "system_schema",                                              \
		"use account and DDL statements instead of writing system tables")     \
	X(SEQUENCE, "sequence",                                                        \
		"create the sequence with INCREMENT BY 0; values are made in each "    \
		"datacenter")                                                          \
	X(STATEMENT_UNKNOWN, "statement_unknown",                                      \
		"run the statement in the other datacenter as well if it should hold " \
		"there")                                                               \
	X(MIXED_DDL, "mixed_ddl",                                                      \
		"name replicated and other tables in separate statements; this one "   \
		"went "                                                                \
		"across whole")                                                        \
	X(XA_BEFORE_START, "xa_before_start",                                          \
		"the transaction was prepared before capture began: compare its rows " \
		"in "                                                                  \
		"both datacenters")

enum dia_refused_reason {
#define DIA_REFUSED_ENUM(name, label, remedy) DIA_REFUSED_##name,
	DIA_REFUSED_LIST(DIA_REFUSED_ENUM)
#undef DIA_REFUSED_ENUM
		DIA_REFUSED_REASONS
};

const char *dia_refused_label(enum dia_refused_reason reason);
const char *dia_refused_remedy(enum dia_refused_reason reason);

enum { DIA_REFUSED_NAME_MAX = 160, DIA_REFUSED_MAX = 1000 };

struct dia_refused_entry {
	char name[DIA_REFUSED_NAME_MAX]; /* db.table, cut to fit */
	enum dia_refused_reason reason;
	uint64_t count; /* row events or statements */
	uint64_t first_ms, last_ms;
	struct dia_gtid last;
};

struct dia_refused;
DIA_MUST_CHECK enum dia_rc dia_refused_new(
	struct dia_clock clock, struct dia_refused **ret);
void dia_refused_free(struct dia_refused *r);

/* r == NULL is allowed and does nothing (a second reading of what was reported before).
 */
void dia_refused_report(struct dia_refused *r, enum dia_refused_reason reason,
	struct dia_slice db, struct dia_slice table, struct dia_gtid gtid);

/* Copies up to cap entries, in order of first appearance; returns how many. Beyond
 * DIA_REFUSED_MAX different ones only the counts go up. */
size_t dia_refused_list(struct dia_refused *r, struct dia_refused_entry *ret, size_t cap);
uint64_t dia_refused_count(struct dia_refused *r, enum dia_refused_reason reason);

#endif /* DIA_CAPTURE_REFUSED_H */
