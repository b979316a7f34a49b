/*
 * proxy/core/log.h - one logfmt line per event: time, level, module, event, fields.
 *
 *   dia_log(DIA_LOG_INFO, "peer", "link_up", "dc=%s address=%s", name, address);
 *   2026-11-22T18:42:03.123Z level=info module=peer event=link_up dc=west address=...
 *
 * The event name never changes once released; people grep and alert on it. Values with
 * spaces go through dia_log_quote. No row values above debug. The logger is the one
 * global of the process: it has no state but the level and the descriptor, and is
 * thread-safe (one write() per line).
 */
#ifndef DIA_CORE_LOG_H
#define DIA_CORE_LOG_H

#include "proxy/core/rc.h"
#include <stdbool.h>
#include <stddef.h>

enum dia_log_level {
	DIA_LOG_ERROR = 0, /* someone must act */
	DIA_LOG_WARN,
	DIA_LOG_INFO,
	DIA_LOG_DEBUG,
	DIA_LOG_TRACE,
};

/* Level (default info) and descriptor (default 2, stderr); fd < 0 keeps the present one.
 */
void dia_log_configure(enum dia_log_level level, int fd);
bool dia_log_enabled(enum dia_log_level level);
/* "error" … "trace" to the level; DIA_E_NOT_FOUND for another word. */
DIA_MUST_CHECK enum dia_rc dia_log_level_parse(const char *word, enum dia_log_level *ret);

void dia_log(enum dia_log_level level, const char *module, const char *event,
	const char *fmt, ...) DIA_PRINTF(4, 5);

/* text as a quoted logfmt value in out (always terminated, cut to fit); returns out. */
const char *dia_log_quote(char *out, size_t cap, const char *text);

#endif /* DIA_CORE_LOG_H */
