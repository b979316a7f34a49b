/* proxy/core/change.c - see change.h. */
#include "proxy/core/change.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Decimal number ending at `stop` or the end of input. */
static bool take_number(struct dia_cursor *c, uint8_t stop, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	bool any = false;

	while (dia_cursor_left(c) > 0 && *c->at != stop) {
		uint8_t d = dia_cursor_u8(c);

		if (d < '0' || d > '9' || __builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(d - '0'), &v) || v > max)
			return false;
		any = true;
	}
	*ret = v;
	return any;
}

enum dia_rc dia_gtid_pos_parse(struct dia_slice text, struct dia_gtid_pos *ret)
{
	struct dia_cursor c = dia_cursor_of(text);
	uint64_t domain, server, seq_no;

	ret->count = 0;
	while (dia_cursor_left(&c) > 0) {
		if (ret->count > 0 && dia_cursor_u8(&c) != ',')
			return DIA_E_PROTOCOL;
		while (dia_cursor_left(&c) > 0 && (*c.at == ' ' || *c.at == '\n'))
			(void)dia_cursor_u8(&c);
		if (!take_number(&c, '-', UINT32_MAX, &domain) ||
			dia_cursor_u8(&c) != '-' ||
			!take_number(&c, '-', UINT32_MAX, &server) ||
			dia_cursor_u8(&c) != '-' ||
			!take_number(&c, ',', UINT64_MAX, &seq_no) || c.bad)
			return DIA_E_PROTOCOL;
		if (dia_gtid_pos_update(ret, (struct dia_gtid){(uint32_t)domain,
						     (uint32_t)server, seq_no}) != DIA_OK)
			return DIA_E_LIMIT;
	}
	return DIA_OK;
}

enum dia_rc dia_gtid_pos_format(const struct dia_gtid_pos *pos, char *out, size_t cap)
{
	size_t used = 0;

	if (cap == 0)
		return DIA_E_LIMIT;
	out[0] = '\0';
	for (uint32_t i = 0; i < pos->count; i++) {
		int n = snprintf(out + used, cap - used,
			"%s%" PRIu32 "-%" PRIu32 "-%" PRIu64, i == 0 ? "" : ",",
			pos->at[i].domain, pos->at[i].server, pos->at[i].seq_no);

		if (n < 0 || (size_t)n >= cap - used)
			return DIA_E_LIMIT;
		used += (size_t)n;
	}
	return DIA_OK;
}

enum dia_rc dia_gtid_pos_update(struct dia_gtid_pos *pos, struct dia_gtid gtid)
{
	for (uint32_t i = 0; i < pos->count; i++) {
		if (pos->at[i].domain == gtid.domain) {
			pos->at[i] = gtid;
			return DIA_OK;
		}
	}
	if (pos->count == DIA_GTID_POS_MAX)
		return DIA_E_LIMIT;
	pos->at[pos->count++] = gtid;
	return DIA_OK;
}

bool dia_gtid_pos_covers(const struct dia_gtid_pos *pos, const struct dia_gtid_pos *need)
{
	for (uint32_t i = 0; i < need->count; i++) {
		uint32_t j = 0;

		while (j < pos->count && pos->at[j].domain != need->at[i].domain)
			j++;
		if (j == pos->count || pos->at[j].seq_no < need->at[i].seq_no)
			return false;
	}
	return true;
}

uint64_t dia_deps_get(const struct dia_deps *deps, struct dia_dc dc)
{
	for (uint32_t i = 0; i < deps->count; i++)
		if (deps->at[i].dc.id == dc.id)
			return deps->at[i].seq;
	return 0;
}

enum dia_rc dia_deps_raise(struct dia_deps *deps, struct dia_dc dc, uint64_t seq)
{
	for (uint32_t i = 0; i < deps->count; i++) {
		if (deps->at[i].dc.id == dc.id) {
			if (seq > deps->at[i].seq)
				deps->at[i].seq = seq;
			return DIA_OK;
		}
	}
	if (deps->count == DIA_DEPS_MAX)
		return DIA_E_LIMIT;
	deps->at[deps->count].dc = dc;
	deps->at[deps->count].seq = seq;
	deps->count++;
	return DIA_OK;
}

void dia_txn_builder_init(
	struct dia_txn_builder *b, const char *spill_dir, size_t spill_bytes)
{
	*b = (struct dia_txn_builder){
		.spill_dir = spill_dir, .spill_bytes = spill_bytes, .fd = -1};
}

static enum dia_rc grow_memory(struct dia_txn_builder *b, size_t need)
{
	size_t cap = b->cap < 512 ? 512 : b->cap;
	uint8_t *data;

	if (need > SIZE_MAX / 2)
		return DIA_E_NOMEM;
	while (cap < need)
		cap *= 2;
	data = realloc(b->data, cap);
	if (data == NULL)
		return DIA_E_NOMEM;
	b->data = data;
	b->cap = cap;
	return DIA_OK;
}

/* Storage is claimed with posix_fallocate: a full disk must be an error here, not a
 * SIGBUS at some later store into the mapping. */
static enum dia_rc grow_file(
	struct dia_txn_builder *b, size_t need, struct dia_err *reterr)
{
	size_t cap = (need + (need >> 1) + 0xfffff) & ~(size_t)0xfffff;
	int fd = b->fd, failed;
	void *map;

	if (need > SIZE_MAX / 4)
		return dia_err_set(
			reterr, DIA_E_LIMIT, 0, "transaction of %zu bytes", need);
	if (fd < 0) {
		fd = open(b->spill_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (fd < 0)
			return dia_err_set(reterr, DIA_E_IO, errno,
				"cannot make a spill file in %s: %s", b->spill_dir,
				strerror(errno));
	}
	failed = posix_fallocate(fd, 0, (off_t)cap);
	if (failed != 0) {
		if (b->fd < 0)
			(void)close(fd);
		return dia_err_set(reterr, DIA_E_IO, failed,
			"cannot spill a transaction of %zu bytes to %s: %s; free disk "
			"space there",
			need, b->spill_dir, strerror(failed));
	}
	map = b->fd < 0 ? mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
			: mremap(b->data, b->cap, cap, MREMAP_MAYMOVE);
	if (map == MAP_FAILED) {
		failed = errno;
		if (b->fd < 0)
			(void)close(fd);
		return dia_err_set(reterr, DIA_E_NOMEM, failed,
			"cannot map a spill file of %zu bytes: %s", cap,
			strerror(failed));
	}
	if (b->fd < 0) {
		if (b->len > 0)
			memcpy(map, b->data, b->len);
		free(b->data);
		b->fd = fd;
	}
	b->data = map;
	b->cap = cap;
	return DIA_OK;
}

enum dia_rc dia_txn_builder_add(
	struct dia_txn_builder *b, struct dia_slice bytes, struct dia_err *reterr)
{
	enum dia_rc rc = DIA_OK;
	size_t need;

	if (bytes.len == 0)
		return DIA_OK;
	if (__builtin_add_overflow(b->len, bytes.len, &need))
		return dia_err_set(reterr, DIA_E_LIMIT, 0, "transaction too large");
	if (need > b->cap) {
		if (b->fd >= 0 || (b->spill_dir != NULL && need > b->spill_bytes))
			rc = grow_file(b, need, reterr);
		else if (grow_memory(b, need) != DIA_OK)
			rc = dia_err_set(reterr, DIA_E_NOMEM, 0,
				"no memory for a transaction of %zu bytes", need);
	}
	if (rc != DIA_OK)
		return rc;
	memcpy(b->data + b->len, bytes.data, bytes.len);
	b->len = need;
	return DIA_OK;
}

enum dia_rc dia_txn_builder_finish(struct dia_txn_builder *b,
	const struct dia_txn_head *head, struct dia_txn **ret, struct dia_err *reterr)
{
	struct dia_txn *txn = malloc(sizeof(*txn));

	if (txn == NULL)
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for a transaction");
	txn->head = *head;
	atomic_init(&txn->refs, 1);
	txn->body = b->data;
	txn->body_len = b->len;
	txn->mapped = 0;
	if (b->fd >= 0) {
		txn->mapped = b->cap;
		(void)close(b->fd);
	}
	b->data = NULL;
	b->len = b->cap = 0;
	b->fd = -1;
	*ret = txn;
	return DIA_OK;
}

static void release_body(uint8_t *data, size_t mapped)
{
	if (mapped > 0)
		(void)munmap(data, mapped);
	else
		free(data);
}

void dia_txn_builder_fini(struct dia_txn_builder *b)
{
	release_body(b->data, b->fd >= 0 ? b->cap : 0);
	if (b->fd >= 0)
		(void)close(b->fd);
	b->data = NULL;
	b->len = b->cap = 0;
	b->fd = -1;
}

struct dia_txn *dia_txn_ref(struct dia_txn *txn)
{
	atomic_fetch_add_explicit(&txn->refs, 1, memory_order_relaxed);
	return txn;
}

void dia_txn_unref(struct dia_txn *txn)
{
	if (txn == NULL ||
		atomic_fetch_sub_explicit(&txn->refs, 1, memory_order_acq_rel) != 1)
		return;
	release_body(txn->body, txn->mapped);
	free(txn);
}
