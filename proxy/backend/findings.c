/* proxy/backend/findings.c - see findings.h. */
#include "proxy/backend/findings.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *dia_findings_text(struct dia_findings *f, const char *fmt, ...)
{
	va_list ap, again;
	char *text = NULL;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n >= 0)
		text = dia_arena_alloc(&f->arena, (size_t)n + 1);
	if (text != NULL)
		(void)vsnprintf(text, (size_t)n + 1, fmt, ap);
	else
		f->failed = true;
	va_end(ap);
	return text == NULL ? "" : text;
}

void dia_findings_add(struct dia_findings *f, enum dia_severity severity, const char *id,
	const char *what, const char *remedy)
{
	if (f->count == f->cap) {
		size_t cap = f->cap == 0 ? 32 : f->cap * 2;
		struct dia_finding *at = realloc(f->at, cap * sizeof(*at));

		if (at == NULL) {
			f->failed = true;
			return;
		}
		f->at = at;
		f->cap = cap;
	}
	f->at[f->count++] = (struct dia_finding){
		.severity = severity, .id = id, .what = what, .remedy = remedy};
	f->counts[severity]++;
}

bool dia_findings_fatal(const struct dia_findings *f)
{
	return f->counts[DIA_FATAL] > 0;
}

const char *dia_severity_text(enum dia_severity severity)
{
	switch (severity) {
	case DIA_FATAL:
		return "fatal";
	case DIA_WARN:
		return "warn";
	case DIA_INFO:
		return "info";
	}
	return "?";
}

void dia_findings_print(const struct dia_findings *f, struct dia_buf *out)
{
	for (int severity = DIA_FATAL; severity <= DIA_INFO; severity++)
		for (size_t i = 0; i < f->count; i++) {
			const struct dia_finding *it = &f->at[i];

			if (it->severity != (enum dia_severity)severity)
				continue;
			(void)dia_buf_printf(out, "%-5s  %s: %s\n",
				dia_severity_text(it->severity), it->id, it->what);
			if (*it->remedy != 0)
				(void)dia_buf_printf(
					out, "       remedy: %s\n", it->remedy);
		}
	if (f->counts[DIA_FATAL] > 0)
		(void)dia_buf_printf(out,
			"%zu fatal, %zu warnings, %zu notes: diarchy will not start like "
			"this\n",
			f->counts[DIA_FATAL], f->counts[DIA_WARN], f->counts[DIA_INFO]);
	else
		(void)dia_buf_printf(out,
			"good: nothing fatal, %zu warnings, %zu notes\n",
			f->counts[DIA_WARN], f->counts[DIA_INFO]);
}

/* A JSON string even of bytes that are not UTF-8: those must not lose the report. */
static json_t *json_text(const char *text)
{
	json_t *value = json_string(text);
	char *copy;

	if (value != NULL || (copy = strdup(text)) == NULL)
		return value;
	for (char *p = copy; *p != 0; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	value = json_string(copy);
	free(copy);
	return value;
}

enum dia_rc dia_findings_json(const struct dia_findings *f, struct dia_buf *out)
{
	json_t *list = json_array(), *root;
	char *text = NULL;
	int bad = list == NULL;

	for (size_t i = 0; i < f->count && bad == 0; i++) {
		const struct dia_finding *it = &f->at[i];

		bad |= json_array_append_new(list,
			json_pack("{s:s, s:s, s:o, s:o}", "severity",
				dia_severity_text(it->severity), "id", it->id, "what",
				json_text(it->what), "remedy", json_text(it->remedy)));
	}
	root = json_pack("{s:b, s:I, s:I, s:I, s:o}", "ok", !dia_findings_fatal(f),
		"fatal", (json_int_t)f->counts[DIA_FATAL], "warn",
		(json_int_t)f->counts[DIA_WARN], "info", (json_int_t)f->counts[DIA_INFO],
		"findings", list);
	if (bad == 0 && root != NULL)
		text = json_dumps(root, JSON_INDENT(2));
	if (text != NULL)
		(void)dia_buf_printf(out, "%s\n", text);
	free(text);
	json_decref(root);
	return text == NULL || out->failed ? DIA_E_NOMEM : DIA_OK;
}

void dia_findings_fini(struct dia_findings *f)
{
	free(f->at);
	dia_arena_fini(&f->arena);
	*f = (struct dia_findings){.at = NULL};
}
