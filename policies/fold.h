/*
 * policies/fold.h - replay of one key's changes in stamp order with one more put in its
 * place.
 */
#ifndef DIA_POLICIES_FOLD_H
#define DIA_POLICIES_FOLD_H

#include "policies/window.h"

struct dia_fold {
	enum dia_verdict verdict;
	/* Newest change made at `self` that is concurrent with the new one; NULL when
	 * there is none: not a conflict. Borrowed from the window. */
	const struct dia_window_op *rival;
};

/*
 * What becomes of `change` of transaction `head`, arriving now at DC `self`, when it is
 * replayed among the changes of its key in `window` and those of other origins in
 * `inflight` (registered by another applier, on their way into the table; NULL if there
 * can be none). Everything head's origin sent before is applied here. Pure look.
 *
 *   DIA_APPLY       all of those were known where the change was made: the row here is
 *                   what it was there
 *   DIA_UPSERT      it is the row, but what stands here may be another than it saw
 *   DIA_KEEP_LOCAL  a later change stands
 */
void dia_fold(const struct dia_policy *policy, const struct dia_window *window,
	const struct dia_window *inflight, struct dia_dc self,
	const struct dia_txn_head *head, const struct dia_change *change,
	struct dia_fold *ret);

#endif /* DIA_POLICIES_FOLD_H */
