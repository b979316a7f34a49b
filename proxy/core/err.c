/* proxy/core/err.c - see err.h. */
#include "proxy/core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum dia_rc dia_err_set(
	struct dia_err *reterr, enum dia_rc rc, int number, const char *fmt, ...)
{
	va_list ap;

	if (reterr == NULL)
		return rc;
	reterr->rc = rc;
	reterr->number = number;
	va_start(ap, fmt);
	(void)vsnprintf(reterr->text, sizeof(reterr->text), fmt, ap);
	va_end(ap);
	return rc;
}

static void append(char *text, size_t *used, const char *more)
{
	while (*used + 1 < DIA_ERR_TEXT_MAX && *more != '\0')
		text[(*used)++] = *more++;
	text[*used < DIA_ERR_TEXT_MAX ? *used : DIA_ERR_TEXT_MAX - 1] = '\0';
}

enum dia_rc dia_err_wrap(struct dia_err *reterr, enum dia_rc rc, const char *fmt, ...)
{
	char inner[DIA_ERR_TEXT_MAX];
	va_list ap;
	size_t used;
	int n;

	if (reterr == NULL)
		return rc;
	memcpy(inner, reterr->text, sizeof(inner));
	inner[sizeof(inner) - 1] = '\0';
	va_start(ap, fmt);
	n = vsnprintf(reterr->text, sizeof(reterr->text), fmt, ap);
	va_end(ap);
	used = n < 0 ? 0 : (size_t)n;
	/* By hand: what does not fit is cut on purpose, which a format would warn of. */
	append(reterr->text, &used, ": ");
	append(reterr->text, &used, inner);
	reterr->rc = rc;
	return rc;
}
