/* proxy/core/rc.c - see rc.h. */
#include "proxy/core/rc.h"

const char *dia_rc_text(enum dia_rc rc)
{
	switch (rc) {
#define DIA_RC_CASE(name, value, label, text) \
	case name:                            \
		return text;
		DIA_RC_LIST(DIA_RC_CASE)
#undef DIA_RC_CASE
	}
	return "unknown result code";
}

const char *dia_rc_label(enum dia_rc rc)
{
	switch (rc) {
#define DIA_RC_CASE(name, value, label, text) \
	case name:                            \
		return label;
		DIA_RC_LIST(DIA_RC_CASE)
#undef DIA_RC_CASE
	}
	return "unknown";
}
