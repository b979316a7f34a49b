/* proxy/admin/metrics.c - see metrics.h. */
#include "proxy/admin/metrics.h"

#include <math.h>

void dia_metrics_family(struct dia_buf *out, const char *name, enum dia_metric_type type,
	const char *help)
{
	const char *word = type == DIA_METRIC_COUNTER ? "counter" : "gauge";

	(void)dia_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, word);
}

static void add_escaped(struct dia_buf *out, const char *value)
{
	for (; *value != '\0'; value++) {
		if (*value == '\n') {
			(void)dia_buf_add_str(out, "\\n");
			continue;
		}
		if (*value == '\\' || *value == '"')
			(void)dia_buf_add_u8(out, '\\');
		(void)dia_buf_add_u8(out, (uint8_t)*value);
	}
}

void dia_metrics_sample(struct dia_buf *out, const char *name,
	const struct dia_metric_label *labels, size_t count, double value)
{
	(void)dia_buf_add_str(out, name);
	for (size_t i = 0; i < count; i++) {
		(void)dia_buf_printf(out, "%s%s=\"", i == 0 ? "{" : ",", labels[i].name);
		add_escaped(out, labels[i].value);
		(void)dia_buf_add_u8(out, '"');
	}
	if (count > 0)
		(void)dia_buf_add_u8(out, '}');
	/* Whole numbers without an exponent: people read this page too. */
	if (fabs(value) < 9e15 && floor(value) == value)
		(void)dia_buf_printf(out, " %.0f\n", value);
	else
		(void)dia_buf_printf(out, " %.9g\n", value);
}
