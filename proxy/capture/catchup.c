/* proxy/capture/catchup.c - see catchup.h. */
#include "proxy/capture/catchup.h"

#include "proxy/capture/group.h"
#include "proxy/capture/lookup.h"
#include "proxy/core/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	WAIT_MS = 50,
	SLICE_US = 100 * 1000,
	RETRY_US = 500 * 1000,
};

struct dia_catchup {
	struct dia_catchup_config config;
	struct dia_reader *reader;
	struct dia_group_reader *groups;
	struct dia_lookup *lookup;
	struct dia_gtid_pos pos, server_pos;
	uint64_t after_seq;           /* given already */
	struct dia_journal_entry due; /* the next one of the journal to be met */
	uint64_t known_seq; /* captured before server_pos was read: must be in the binlog
			       by then */
	bool have_due, attached;
	uint64_t retry_at_us;
};

void dia_catchup_free(struct dia_catchup *c)
{
	if (c == NULL)
		return;
	dia_reader_free(c->reader);
	dia_group_free(c->groups);
	dia_lookup_free(c->lookup);
	free(c);
}

enum dia_rc dia_catchup_new(const struct dia_catchup_config *config, uint64_t after_seq,
	struct dia_catchup **ret, struct dia_err *reterr)
{
	struct dia_reader_config rc_config = {.config = config->config,
		.server_id = config->server_id,
		.clock = config->clock};
	struct dia_group_config g_config = {.config = config->config,
		.transactional = dia_lookup_transactional,
		.spill_dir = config->spill_dir,
		.spill_bytes = config->spill_bytes};
	struct dia_journal_point point;
	struct dia_catchup *c;
	enum dia_rc rc;

	rc = dia_journal_point_before(config->journal, after_seq, &point);
	if (rc != DIA_OK)
		return dia_err_set(reterr, rc, 0,
			"what follows transaction %" PRIu64
			" is needed, but the journal no longer reaches back that far; "
			"bootstrap "
			"the peer again",
			after_seq);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return dia_err_set(reterr, DIA_E_NOMEM, 0, "no memory to catch up");
	c->config = *config;
	c->after_seq = after_seq;
	c->pos = point.pos;
	c->due.seq = point.seq;
	rc = dia_lookup_new(config->config, &c->lookup);
	g_config.lookup_ctx = c->lookup;
	if (rc == DIA_OK)
		rc = dia_group_new(&g_config, &c->groups);
	if (rc == DIA_OK)
		rc = dia_reader_new(&rc_config, &c->reader, reterr);
	if (rc != DIA_OK) {
		dia_catchup_free(c);
		return dia_err_set(
			reterr, rc, 0, "cannot start to catch up: %s", dia_rc_text(rc));
	}
	*ret = c;
	return DIA_OK;
}

/* Look at the next entry of the journal, unless it is known. DIA_E_AGAIN at its end. */
static enum dia_rc load_due(struct dia_catchup *c, struct dia_err *reterr)
{
	enum dia_rc rc;

	if (c->have_due)
		return DIA_OK;
	rc = dia_journal_get(c->config.journal, c->due.seq + 1, &c->due);
	if (rc == DIA_OK)
		c->have_due = true;
	else if (rc == DIA_E_NOT_FOUND &&
		 c->due.seq >= dia_journal_last(c->config.journal))
		return DIA_E_AGAIN;
	else
		return dia_err_set(reterr, rc, 0,
			"the journal has no readable entry for transaction %" PRIu64,
			c->due.seq + 1);
	return rc;
}

/* What a failure of the reader means for a peer that waits: trouble that passes is a
 * pause. */
static enum dia_rc reader_failed(
	struct dia_catchup *c, enum dia_rc rc, struct dia_err *reterr)
{
	char quoted[DIA_ERR_TEXT_MAX];

	if (rc == DIA_E_LOST_TAIL) {
		/* Everything due was in the binlog once: it has been purged. */
		return dia_err_set(reterr, DIA_E_NOT_FOUND,
			reterr == NULL ? 0 : reterr->number,
			"transactions after %" PRIu64
			" are needed but the binlog no longer has them; bootstrap the "
			"peer "
			"again, and keep binlogs longer (expire_logs_days)",
			c->after_seq);
	}
	if (rc == DIA_E_PROTOCOL || rc == DIA_E_UNSUPPORTED)
		return rc;
	c->attached = false;
	c->retry_at_us = dia_clock_mono_us(&c->config.clock) + RETRY_US;
	dia_reader_detach(c->reader);
	dia_group_abort(c->groups);
	dia_log(DIA_LOG_WARN, "capture", "catchup_interrupted",
		"after_seq=%" PRIu64 " error=%s", c->after_seq,
		dia_log_quote(quoted, sizeof(quoted),
			reterr == NULL ? dia_rc_text(rc) : reterr->text));
	return DIA_E_AGAIN;
}

static bool same_gtid(struct dia_gtid a, struct dia_gtid b)
{
	return a.domain == b.domain && a.server == b.server && a.seq_no == b.seq_no;
}

bool dia_catchup_same(const struct dia_journal_entry *entry, uint32_t commit_time)
{
	return entry->commit_time == commit_time;
}

/* *ret stays NULL when the group is none that is wanted. */
static enum dia_rc take_group(struct dia_catchup *c, const struct dia_group *group,
	struct dia_txn **ret, struct dia_err *reterr)
{
	struct dia_txn_head head = {.origin = c->config.self};
	enum dia_rc rc;

	rc = dia_gtid_pos_update(&c->pos, group->gtid);
	if (rc != DIA_OK)
		return dia_err_set(reterr, rc, 0, "too many GTID domains in the binlog");
	if (group->applied || !same_gtid(group->gtid, c->due.gtid)) {
		if (c->due.seq <= c->known_seq &&
			dia_gtid_pos_covers(&c->pos, &c->server_pos))
			return dia_err_set(reterr, DIA_E_LOST_TAIL, 0,
				"transaction %" PRIu64 " (GTID %" PRIu32 "-%" PRIu32
				"-%" PRIu64 ") was captured but is not in the binlog any "
				"more: the database "
				"has lost commits; bootstrap it from its peer",
				c->due.seq, c->due.gtid.domain, c->due.gtid.server,
				c->due.gtid.seq_no);
		return DIA_OK;
	}
	if (!dia_catchup_same(&c->due, group->commit_time))
		return dia_err_set(reterr, DIA_E_LOST_TAIL, 0,
			"GTID %" PRIu32 "-%" PRIu32 "-%" PRIu64
			" in the binlog is not the transaction %" PRIu64
			" that was captured under it: the database has lost commits and "
			"used "
			"their numbers again; bootstrap it from its peer",
			group->gtid.domain, group->gtid.server, group->gtid.seq_no,
			c->due.seq);
	c->have_due = false;
	if (c->due.seq <= c->after_seq)
		return DIA_OK;
	head.seq = c->due.seq;
	head.stamp = c->due.stamp;
	head.deps = c->due.deps;
	head.gtid = group->gtid;
	head.commit_time = group->commit_time;
	rc = dia_group_take(c->groups, &head, ret, reterr);
	if (rc == DIA_OK)
		c->after_seq = head.seq;
	return rc;
}

static enum dia_rc attach(struct dia_catchup *c, struct dia_err *reterr)
{
	enum dia_rc rc;

	if (c->attached)
		return DIA_OK;
	if (dia_clock_mono_us(&c->config.clock) < c->retry_at_us) {
		(void)usleep(WAIT_MS * 1000);
		return DIA_E_AGAIN;
	}
	c->known_seq = dia_journal_last(c->config.journal);
	rc = dia_reader_attach(c->reader, &c->pos, &c->server_pos, reterr);
	if (rc != DIA_OK)
		return reader_failed(c, rc, reterr);
	c->attached = true;
	return DIA_OK;
}

enum dia_rc dia_catchup_next(
	struct dia_catchup *c, struct dia_txn **ret, struct dia_err *reterr)
{
	uint64_t until_us = dia_clock_mono_us(&c->config.clock) + SLICE_US;
	const struct dia_group *group;
	struct dia_event ev;
	struct dia_err own;
	enum dia_rc rc;

	if (reterr == NULL)
		reterr = &own;
	*ret = NULL;
	rc = attach(c, reterr);
	while (rc == DIA_OK && *ret == NULL) {
		if (dia_clock_mono_us(&c->config.clock) >= until_us)
			return DIA_E_AGAIN;
		rc = load_due(c, reterr);
		if (rc != DIA_OK)
			return rc;
		rc = dia_reader_next(c->reader, WAIT_MS, &ev, reterr);
		if (rc == DIA_E_AGAIN)
			return rc;
		if (rc == DIA_OK)
			rc = dia_group_feed(c->groups, &ev, &group, reterr);
		if (rc != DIA_OK)
			return reader_failed(c, rc, reterr);
		if (group != NULL)
			rc = take_group(c, group, ret, reterr);
	}
	return rc;
}
