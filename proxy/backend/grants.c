/* proxy/backend/grants.c - see grants.h. */
#include "proxy/backend/grants.h"

#include <stdio.h>

static const char *const names[] = {
#define DIA_GRANT_NAME(name, text) text,
	DIA_GRANT_LIST(DIA_GRANT_NAME)
#undef DIA_GRANT_NAME
};
enum { GRANT_COUNT = sizeof(names) / sizeof(names[0]) };

static uint64_t parse_privileges(const char *from, const char *to)
{
	uint64_t mask = 0;

	while (from < to) {
		const char *end = memchr(from, ',', (size_t)(to - from));
		size_t len;

		if (end == NULL)
			end = to;
		len = (size_t)(end - from);
		if (len == 14 && memcmp(from, "ALL PRIVILEGES", 14) == 0)
			mask |= (DIA_GRANT_BIT(GRANT_COUNT) - 1) &
				~DIA_GRANT_BIT(DIA_GRANT_GRANT_OPTION);
		for (int i = 0; i < GRANT_COUNT; i++)
			if (len == strlen(names[i]) && memcmp(from, names[i], len) == 0)
				mask |= DIA_GRANT_BIT(i);
		/* Versions before 10.5.2 spelt it so, and some print it still. */
		if (len == 18 && memcmp(from, "REPLICATION CLIENT", 18) == 0)
			mask |= DIA_GRANT_BIT(DIA_GRANT_BINLOG_MONITOR);
		if (len == 15 && memcmp(from, "READ ONLY ADMIN", 15) == 0)
			mask |= DIA_GRANT_BIT(DIA_GRANT_READ_ONLY_ADMIN);
		from = end;
		while (from < to && (*from == ',' || *from == ' '))
			from++;
	}
	return mask;
}

/* `db`.* at p into the next free entry; false when it is something else. */
static bool parse_db(struct dia_grants *g, const char *p)
{
	size_t n = 0;

	if (*p != '`' || g->db_count == DIA_GRANT_DBS_MAX)
		return false;
	for (p++; *p != 0; p++) {
		if (*p == '`' && *++p != '`')
			break;
		if (n + 1 == DIA_GRANT_DB_BYTES)
			return false;
		g->db[g->db_count].pattern[n++] = *p;
	}
	g->db[g->db_count].pattern[n] = 0;
	return strncmp(p, ".* ", 3) == 0;
}

void dia_grants_add_line(struct dia_grants *g, const char *line)
{
	const char *on = strstr(line, " ON ");
	uint64_t mask;

	if (strncmp(line, "GRANT ", 6) != 0 || on == NULL)
		return;
	mask = parse_privileges(line + 6, on);
	if (strstr(on, " WITH GRANT OPTION") != NULL)
		mask |= DIA_GRANT_BIT(DIA_GRANT_GRANT_OPTION);
	on += 4;
	if (strncmp(on, "*.* ", 4) == 0)
		g->global |= mask;
	else if (parse_db(g, on))
		g->db[g->db_count++].mask = mask;
}

void dia_grants_imply_super(struct dia_grants *g, uint32_t version)
{
	if ((g->global & DIA_GRANT_BIT(DIA_GRANT_SUPER)) == 0)
		return;
	/* MariaDB 11.0.1 took these out of SUPER, 10.11.0 READ_ONLY ADMIN. */
	if (version < 110001)
		g->global |= DIA_GRANT_BIT(DIA_GRANT_BINLOG_MONITOR) |
			     DIA_GRANT_BIT(DIA_GRANT_BINLOG_REPLAY) |
			     DIA_GRANT_BIT(DIA_GRANT_BINLOG_ADMIN) |
			     DIA_GRANT_BIT(DIA_GRANT_REPLICATION_SLAVE_ADMIN) |
			     DIA_GRANT_BIT(DIA_GRANT_SET_USER);
	if (version < 101100)
		g->global |= DIA_GRANT_BIT(DIA_GRANT_READ_ONLY_ADMIN);
}

/* SQL LIKE of a database grant: % any run, _ one byte, \ takes the next literally. Names
 * with characters of several bytes under _ do not match: that errs on the side of a
 * finding. */
static bool db_matches(const char *pattern, const char *name)
{
	for (; *pattern != 0; pattern++, name++) {
		if (*pattern == '%') {
			while (pattern[1] == '%')
				pattern++;
			for (;; name++) {
				if (db_matches(pattern + 1, name))
					return true;
				if (*name == 0)
					return false;
			}
		}
		if (*name == 0)
			return false;
		if (*pattern == '_')
			continue;
		if (*pattern == '\\' && pattern[1] != 0)
			pattern++;
		if (*pattern != *name)
			return false;
	}
	return *name == 0;
}

uint64_t dia_grants_missing(const struct dia_grants *g, const char *db, uint64_t mask)
{
	uint64_t has = g->global;

	for (size_t i = 0; db != NULL && i < g->db_count; i++)
		if (db_matches(g->db[i].pattern, db))
			has |= g->db[i].mask;
	return mask & ~has;
}

const char *dia_grants_text(uint64_t mask, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = 0;
	for (int i = 0; i < GRANT_COUNT && n < cap; i++)
		if ((mask & DIA_GRANT_BIT(i)) != 0)
			n += (size_t)snprintf(
				out + n, cap - n, "%s%s", n == 0 ? "" : ", ", names[i]);
	return out;
}
