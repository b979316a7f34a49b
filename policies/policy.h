/*
 * policies/policy.h - words of the merge that every policy shares.
 */
#ifndef DIA_POLICIES_POLICY_H
#define DIA_POLICIES_POLICY_H

#include "proxy/core/hlc.h"
#include "proxy/core/rc.h"
#include "proxy/core/slice.h"

enum dia_change_kind {
	DIA_CHANGE_INSERT = 1,
	DIA_CHANGE_UPDATE = 2,
	DIA_CHANGE_DELETE = 3,
};

/* What is to be done with a remote change of one key. */
enum dia_verdict {
	DIA_APPLY = 0, /* nothing here can overtake it: write it as it came */
	DIA_UPSERT,    /* it wins over changes in the window: make the row its after image
			  (or absent), whatever stands there now */
	DIA_KEEP_LOCAL, /* it loses: write nothing */
};

#endif /* DIA_POLICIES_POLICY_H */
