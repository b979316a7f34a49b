/*
 * proxy/core/err.h - an error a person will read: code, errno or SQL error number, text.
 *
 * Lives on the caller's stack, no allocation. The function that fails sets it; each
 * caller that knows more may put context in front ("peer west: connect: Connection
 * refused"). Functions accept reterr == NULL.
 */
#ifndef DIA_CORE_ERR_H
#define DIA_CORE_ERR_H

#include "proxy/core/rc.h"

enum { DIA_ERR_TEXT_MAX = 512 };

struct dia_err {
	enum dia_rc rc;
	int number; /* errno, MariaDB error number, or 0 */
	char text[DIA_ERR_TEXT_MAX];
};

/* Set *reterr (if not NULL) and return rc, so that a failure is one line at its place. */
enum dia_rc dia_err_set(struct dia_err *reterr, enum dia_rc rc, int number,
	const char *fmt, ...) DIA_PRINTF(4, 5);

/* Put "context: " before the text; rc and number stay. Returns reterr->rc or rc if NULL.
 */
enum dia_rc dia_err_wrap(struct dia_err *reterr, enum dia_rc rc, const char *fmt, ...)
	DIA_PRINTF(3, 4);

#endif /* DIA_CORE_ERR_H */
