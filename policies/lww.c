/* policies/lww.c - see lww.h. */
#include "policies/lww.h"

/* The replay comes in stamp order, so whoever comes last has won. */
static void lww_step(struct dia_replay_row *row, const struct dia_op *op)
{
	row->written = true;
	row->exists = op->kind != DIA_CHANGE_DELETE;
	row->writer = *op;
}

const struct dia_policy dia_policy_lww = {
	.name = "lww", .newest_only = true, .step = lww_step};
