/*
 * proxy/backend/findings.h - what `diarchy check` found: severity, what, remedy.
 *
 * A struct owned by the caller; zero-initialised is valid and empty. Texts are copied
 * into its arena. A failed addition is remembered in `failed` and reported once, at the
 * end.
 */
#ifndef DIA_BACKEND_FINDINGS_H
#define DIA_BACKEND_FINDINGS_H

#include "proxy/core/arena.h"
#include "proxy/core/buf.h"
#include "proxy/core/err.h"

enum dia_severity {
	DIA_FATAL =
		0, /* `run` refuses to start: writes would be lost or replication stop */
	DIA_WARN,  /* something will not do what one expects */
	DIA_INFO,
};
enum { DIA_SEVERITY_COUNT = 3 };

struct dia_finding {
	enum dia_severity severity;
	const char *id;     /* never changes once released: "binlog_format" */
	const char *what;   /* a sentence without full stop */
	const char *remedy; /* the SQL, configuration line or action; "" when none is
			       needed */
};

struct dia_findings {
	struct dia_finding *at;
	size_t count;
	size_t cap;
	size_t counts[DIA_SEVERITY_COUNT];
	struct dia_arena arena;
	bool failed;
};

/* A formatted text in the arena, for dia_findings_add; "" when out of memory. */
const char *dia_findings_text(struct dia_findings *f, const char *fmt, ...)
	DIA_PRINTF(2, 3);
/* what and remedy must live as long as f: literals or dia_findings_text. */
void dia_findings_add(struct dia_findings *f, enum dia_severity severity, const char *id,
	const char *what, const char *remedy);
bool dia_findings_fatal(const struct dia_findings *f);
/* "fatal", "warn", "info". */
const char *dia_severity_text(enum dia_severity severity);

/* Fatal ones first; for a person. */
void dia_findings_print(const struct dia_findings *f, struct dia_buf *out);
/* {"ok": bool, "fatal": n, "warn": n, "info": n, "findings": [{"severity", "id", "what",
 * "remedy"}…]} */
DIA_MUST_CHECK enum dia_rc dia_findings_json(
	const struct dia_findings *f, struct dia_buf *out);
void dia_findings_fini(struct dia_findings *f);

#endif /* DIA_BACKEND_FINDINGS_H */
