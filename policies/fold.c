/* policies/fold.c - see fold.h. */
#include "policies/fold.h"

/* Two lists in stamp order, read as one. */
struct merge {
	const struct dia_window_op *a, *b;
	uint16_t skip_origin; /* in b: what this applier has in flight itself */
};

static const struct dia_window_op *merge_next(struct merge *m)
{
	const struct dia_window_op *ret;
	struct dia_op a, b;

	while (m->b != NULL && dia_window_op(m->b).stamp.origin.id == m->skip_origin)
		m->b = dia_window_next(m->b);
	if (m->a == NULL || m->b == NULL) {
		ret = m->a != NULL ? m->a : m->b;
	} else {
		a = dia_window_op(m->a);
		b = dia_window_op(m->b);
		ret = dia_op_cmp(&a, &b) <= 0 ? m->a : m->b;
	}
	if (ret != NULL && ret == m->a)
		m->a = dia_window_next(ret);
	else if (ret != NULL)
		m->b = dia_window_next(ret);
	return ret;
}

void dia_fold(const struct dia_policy *policy, const struct dia_window *window,
	const struct dia_window *inflight, struct dia_dc self,
	const struct dia_txn_head *head, const struct dia_change *change,
	struct dia_fold *ret)
{
	struct merge m = {.a = dia_window_find(window, change->key, change->key_hash),
		.b = inflight == NULL
			     ? NULL
			     : dia_window_find(inflight, change->key, change->key_hash),
		.skip_origin = head->origin.id};
	struct dia_op mine = {.stamp = {.at = head->stamp, .origin = head->origin},
		.seq = head->seq,
		.index = change->index,
		.kind = change->kind};
	struct dia_replay_row row = {.written = false};
	bool placed = false, all_known = true;
	const struct dia_window_op *at;

	ret->rival = NULL;
	while ((at = merge_next(&m)) != NULL) {
		struct dia_op op = dia_window_op(at);

		if (!placed && dia_op_cmp(&mine, &op) < 0) {
			policy->step(&row, &mine);
			placed = true;
		}
		policy->step(&row, &op);
		if (dia_head_knew(head, &op))
			continue;
		all_known = false;
		if (op.stamp.origin.id == self.id)
			ret->rival = at;
	}
	if (!placed)
		policy->step(&row, &mine);
	if (dia_op_cmp(&row.writer, &mine) != 0)
		ret->verdict = DIA_KEEP_LOCAL;
	else
		ret->verdict = all_known ? DIA_APPLY : DIA_UPSERT;
}
