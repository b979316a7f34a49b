/*
 * proxy/admin/metrics.h - writing the Prometheus text format (version 0.0.4).
 *
 * One family at a time: family once, then its samples. Names and help texts are ours and
 * trusted; label values are escaped.
 */
#ifndef DIA_ADMIN_METRICS_H
#define DIA_ADMIN_METRICS_H

#include "proxy/core/buf.h"

enum dia_metric_type {
	DIA_METRIC_COUNTER = 0,
	DIA_METRIC_GAUGE,
};

struct dia_metric_label {
	const char *name;
	const char *value;
};

void dia_metrics_family(struct dia_buf *out, const char *name, enum dia_metric_type type,
	const char *help);
/* labels may be NULL when count is 0. */
void dia_metrics_sample(struct dia_buf *out, const char *name,
	const struct dia_metric_label *labels, size_t count, double value);

#endif /* DIA_ADMIN_METRICS_H */
