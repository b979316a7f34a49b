/* proxy/capture/outbox.c - see outbox.h. */
#include "proxy/capture/outbox.h"

#include "proxy/core/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	RING_MIN = 1024,
	TXN_OVERHEAD = sizeof(struct dia_txn) + 64, /* what a body-less one costs */
	CATCHUP_IDS = 4096,
};

struct dia_outbox {
	struct dia_outbox_config config;
	pthread_mutex_t lock;
	/* Sequences base + 1 … newest, at [seq & (cap - 1)]. */
	struct dia_txn **ring;
	size_t cap;
	uint64_t base, newest;
	uint64_t bytes;
	struct dia_txn *watermark;
	uint64_t watermark_id; /* counts up */
	struct dia_outbox_cursor *cursors;
	uint32_t cursor_count, catching_up, catchups_made;
};

struct dia_outbox_cursor {
	struct dia_outbox *outbox;
	struct dia_outbox_cursor *next;
	uint64_t last_seq;     /* given */
	uint64_t watermark_id; /* given */
	struct dia_catchup *catchup;
	int wake_fd;
};

enum dia_rc dia_outbox_new(const struct dia_outbox_config *config,
	struct dia_outbox **ret, struct dia_err *reterr)
{
	struct dia_outbox *o = calloc(1, sizeof(*o));

	if (o != NULL)
		o->ring = calloc(RING_MIN, sizeof(struct dia_txn *));
	if (o == NULL || o->ring == NULL) {
		free(o);
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for the outbox");
	}
	o->config = *config;
	o->cap = RING_MIN;
	(void)pthread_mutex_init(&o->lock, NULL);
	*ret = o;
	return DIA_OK;
}

static struct dia_txn **slot(struct dia_outbox *o, uint64_t seq)
{
	return &o->ring[seq & (o->cap - 1)];
}

static void drop_oldest(struct dia_outbox *o)
{
	struct dia_txn **at = slot(o, ++o->base);

	o->bytes -= (*at)->body_len + TXN_OVERHEAD;
	dia_txn_unref(*at);
	*at = NULL;
}

void dia_outbox_free(struct dia_outbox *o)
{
	if (o == NULL)
		return;
	while (o->base < o->newest)
		drop_oldest(o);
	dia_txn_unref(o->watermark);
	free(o->ring);
	(void)pthread_mutex_destroy(&o->lock);
	free(o);
}

void dia_outbox_begin(struct dia_outbox *o, uint64_t base_seq)
{
	(void)pthread_mutex_lock(&o->lock);
	while (o->base < o->newest)
		drop_oldest(o);
	o->base = o->newest = base_seq;
	(void)pthread_mutex_unlock(&o->lock);
}

static enum dia_rc grow(struct dia_outbox *o)
{
	struct dia_txn **ring = calloc(o->cap * 2, sizeof(struct dia_txn *));

	if (ring == NULL)
		return DIA_E_NOMEM;
	for (uint64_t seq = o->base + 1; seq <= o->newest; seq++)
		ring[seq & (o->cap * 2 - 1)] = *slot(o, seq);
	free(o->ring);
	o->ring = ring;
	o->cap *= 2;
	return DIA_OK;
}

enum dia_rc dia_outbox_publish(
	struct dia_outbox *o, struct dia_txn *txn, struct dia_err *reterr)
{
	enum dia_rc rc = DIA_OK;

	(void)pthread_mutex_lock(&o->lock);
	if (txn->head.seq != o->newest + 1)
		rc = dia_err_set(reterr, DIA_E_STATE, 0,
			"transaction %" PRIu64 " published after %" PRIu64, txn->head.seq,
			o->newest);
	/* No memory to hold more is a reason to hold less, not to stop. */
	else if (o->newest - o->base == o->cap && grow(o) != DIA_OK)
		drop_oldest(o);
	if (rc == DIA_OK) {
		*slot(o, txn->head.seq) = txn;
		o->newest = txn->head.seq;
		o->bytes += txn->body_len + TXN_OVERHEAD;
		while (o->bytes > o->config.max_bytes && o->base + 1 < o->newest)
			drop_oldest(o);
	}
	(void)pthread_mutex_unlock(&o->lock);
	return rc;
}

void dia_outbox_watermark(struct dia_outbox *o, struct dia_txn *txn)
{
	struct dia_txn *old;

	(void)pthread_mutex_lock(&o->lock);
	old = o->watermark;
	o->watermark = txn;
	o->watermark_id++;
	(void)pthread_mutex_unlock(&o->lock);
	dia_txn_unref(old);
}

static void ring_bell(const struct dia_outbox_cursor *c)
{
	uint64_t one = 1;

	/* Full means it is readable already. */
	if (write(c->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void dia_outbox_wake(struct dia_outbox *o)
{
	(void)pthread_mutex_lock(&o->lock);
	for (struct dia_outbox_cursor *c = o->cursors; c != NULL; c = c->next)
		ring_bell(c);
	(void)pthread_mutex_unlock(&o->lock);
}

uint64_t dia_outbox_published(struct dia_outbox *o)
{
	uint64_t newest;

	(void)pthread_mutex_lock(&o->lock);
	newest = o->newest;
	(void)pthread_mutex_unlock(&o->lock);
	return newest;
}

uint64_t dia_outbox_head(struct dia_outbox *o)
{
	uint64_t newest = dia_outbox_published(o);
	uint64_t known = dia_journal_last(o->config.catchup.journal);

	return newest > known ? newest : known;
}

void dia_outbox_stats(struct dia_outbox *o, struct dia_outbox_stats *ret)
{
	(void)pthread_mutex_lock(&o->lock);
	*ret = (struct dia_outbox_stats){.txns = o->newest - o->base,
		.bytes = o->bytes,
		.cursors = o->cursor_count,
		.catching_up = o->catching_up};
	(void)pthread_mutex_unlock(&o->lock);
}

enum dia_rc dia_outbox_open(struct dia_outbox *o, uint64_t after_seq,
	struct dia_outbox_cursor **ret, struct dia_err *reterr)
{
	uint64_t head = dia_outbox_head(o);
	struct dia_outbox_cursor *c;

	if (after_seq > head)
		return dia_err_set(reterr, DIA_E_LOST_TAIL, 0,
			"the peer has received transaction %" PRIu64
			" of this datacenter, which knows none after %" PRIu64
			": state_dir or the database has lost its tail; bootstrap this "
			"datacenter from its peer",
			after_seq, head);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory for a cursor");
	c->outbox = o;
	c->last_seq = after_seq;
	c->wake_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake_fd < 0) {
		free(c);
		return dia_err_set(
			reterr, DIA_E_IO, errno, "eventfd: %s", strerror(errno));
	}
	(void)pthread_mutex_lock(&o->lock);
	c->next = o->cursors;
	o->cursors = c;
	o->cursor_count++;
	(void)pthread_mutex_unlock(&o->lock);
	*ret = c;
	return DIA_OK;
}

static void catchup_done(struct dia_outbox_cursor *c)
{
	dia_catchup_free(c->catchup);
	c->catchup = NULL;
	(void)pthread_mutex_lock(&c->outbox->lock);
	c->outbox->catching_up--;
	(void)pthread_mutex_unlock(&c->outbox->lock);
}

void dia_outbox_close(struct dia_outbox_cursor *c)
{
	struct dia_outbox *o = c->outbox;
	struct dia_outbox_cursor **at;

	if (c->catchup != NULL)
		catchup_done(c);
	(void)pthread_mutex_lock(&o->lock);
	for (at = &o->cursors; *at != c; at = &(*at)->next)
		;
	*at = c->next;
	o->cursor_count--;
	(void)pthread_mutex_unlock(&o->lock);
	(void)close(c->wake_fd);
	free(c);
}

int dia_outbox_wake_fd(const struct dia_outbox_cursor *c)
{
	return c->wake_fd;
}

/* From memory: DIA_OK, DIA_E_AGAIN, or DIA_E_NOT_FOUND when it has left there. */
static enum dia_rc from_memory(struct dia_outbox_cursor *c, struct dia_txn **ret)
{
	struct dia_outbox *o = c->outbox;
	enum dia_rc rc = DIA_E_AGAIN;

	(void)pthread_mutex_lock(&o->lock);
	/* The watermark belongs exactly behind the transaction it names: "all up to
	 * here". */
	if (o->watermark != NULL && c->watermark_id != o->watermark_id &&
		o->watermark->head.seq == c->last_seq) {
		c->watermark_id = o->watermark_id;
		*ret = dia_txn_ref(o->watermark);
		rc = DIA_OK;
	} else if (c->last_seq < o->base) {
		rc = DIA_E_NOT_FOUND;
	} else if (c->last_seq < o->newest) {
		*ret = dia_txn_ref(*slot(o, ++c->last_seq));
		rc = DIA_OK;
	}
	(void)pthread_mutex_unlock(&o->lock);
	return rc;
}

static enum dia_rc start_catchup(struct dia_outbox_cursor *c, struct dia_err *reterr)
{
	struct dia_outbox *o = c->outbox;
	struct dia_catchup_config config = o->config.catchup;
	enum dia_rc rc;

	(void)pthread_mutex_lock(&o->lock);
	config.server_id += o->catchups_made++ % CATCHUP_IDS;
	(void)pthread_mutex_unlock(&o->lock);
	rc = dia_catchup_new(&config, c->last_seq, &c->catchup, reterr);
	if (rc != DIA_OK)
		return rc;
	(void)pthread_mutex_lock(&o->lock);
	o->catching_up++;
	(void)pthread_mutex_unlock(&o->lock);
	dia_log(DIA_LOG_INFO, "capture", "catchup_start", "after_seq=%" PRIu64,
		c->last_seq);
	return DIA_OK;
}

static enum dia_rc from_binlog(
	struct dia_outbox_cursor *c, struct dia_txn **ret, struct dia_err *reterr)
{
	enum dia_rc rc = DIA_OK;

	if (c->catchup == NULL)
		rc = start_catchup(c, reterr);
	if (rc == DIA_OK)
		rc = dia_catchup_next(c->catchup, ret, reterr);
	if (rc == DIA_OK)
		c->last_seq = (*ret)->head.seq;
	/* The binlog will not ring: come back soon. */
	if (rc == DIA_E_AGAIN)
		ring_bell(c);
	return rc;
}

static void quiet_bell(const struct dia_outbox_cursor *c)
{
	uint64_t count;

	if (read(c->wake_fd, &count, sizeof(count)) < 0)
		return;
}

enum dia_rc dia_outbox_next(
	struct dia_outbox_cursor *c, struct dia_txn **ret, struct dia_err *reterr)
{
	enum dia_rc rc = from_memory(c, ret);

	if (rc == DIA_E_AGAIN) {
		/* Silence the bell first, then look again: what comes in between rings.
		 */
		quiet_bell(c);
		rc = from_memory(c, ret);
	}
	if (rc == DIA_E_NOT_FOUND)
		return from_binlog(c, ret, reterr);
	if (c->catchup != NULL) {
		dia_log(DIA_LOG_INFO, "capture", "catchup_end", "seq=%" PRIu64,
			c->last_seq);
		catchup_done(c);
	}
	return rc;
}
