/*
 * policies/lww.h - last writer wins, whole rows: the change with the highest stamp is the
 * row.
 */
#ifndef DIA_POLICIES_LWW_H
#define DIA_POLICIES_LWW_H

#include "policies/policy.h"

extern const struct dia_policy dia_policy_lww;

#endif /* DIA_POLICIES_LWW_H */
