/* proxy/core/log.c - see log.h. */
#include "proxy/core/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int log_level = DIA_LOG_INFO;
static _Atomic int log_fd = 2;

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};

void dia_log_configure(enum dia_log_level level, int fd)
{
	atomic_store(&log_level, (int)level);
	if (fd >= 0)
		atomic_store(&log_fd, fd);
}

bool dia_log_enabled(enum dia_log_level level)
{
	return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

enum dia_rc dia_log_level_parse(const char *word, enum dia_log_level *ret)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(word, level_names[i]) == 0) {
			*ret = (enum dia_log_level)i;
			return DIA_OK;
		}
	}
	return DIA_E_NOT_FOUND;
}

void dia_log(enum dia_log_level level, const char *module, const char *event,
	const char *fmt, ...)
{
	char line[2048];
	struct timespec ts;
	struct tm tm;
	va_list ap;
	size_t used;
	int n;

	if (!dia_log_enabled(level))
		return;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	(void)gmtime_r(&ts.tv_sec, &tm);
	used = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
	n = snprintf(line + used, sizeof(line) - used,
		".%03ldZ level=%s module=%s event=%s ", ts.tv_nsec / 1000000,
		level_names[level], module, event);
	if (n > 0)
		used += (size_t)n;
	if (used > sizeof(line) - 2)
		used = sizeof(line) - 2;
	va_start(ap, fmt);
	n = vsnprintf(line + used, sizeof(line) - used - 1, fmt, ap);
	va_end(ap);
	if (n > 0)
		used += (size_t)n;
	if (used > sizeof(line) - 2)
		used = sizeof(line) - 2;
	line[used++] = '\n';
	/* A log that cannot be written has nowhere to say so. */
	if (write(atomic_load(&log_fd), line, used) < 0)
		return;
}

const char *dia_log_quote(char *out, size_t cap, const char *text)
{
	size_t at = 0;

	if (cap < 3)
		return "";
	out[at++] = '"';
	for (; *text != '\0' && at + 3 < cap; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			out[at++] = '\\';
		out[at++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
	}
	out[at++] = '"';
	out[at] = '\0';
	return out;
}
