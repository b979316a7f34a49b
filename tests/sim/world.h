/*
 * tests/sim/world.h - two or three whole DCs in one process under virtual time.
 *
 * Real: proxy/engine (engine and appliers) and policies. Fake, here: the database of each
 * DC with row locks, transactions and binlog (db.c), the diarchy process around the
 * engine with capture, journal, crashes and restarts (dc.c), the links (link.c), and an
 * oracle that knows what every transaction really knew (check.c). One seed gives one
 * schedule; everything random comes from world.random.
 */
#ifndef DIA_SIM_WORLD_H
#define DIA_SIM_WORLD_H

#include "proxy/engine/applier.h"

#include <stdio.h>

enum {
	MAX_DCS = 3,
	MAX_KEYS = 6,
	MAX_TXNS = 160,    /* local ones per DC */
	MAX_CHANGES = 8,   /* per transaction */
	MAX_BINLOG = 2048, /* entries per DC */
	CLIENTS = 3, /* per DC; sessions 0.. are theirs, the appliers' come behind */
	SESSIONS = CLIENTS + MAX_DCS,
	MAX_POINTS = 64,
	MAX_MSGS = 64,
};

/* Row images are numbers never used twice; 0 is "no row". */
struct sim_change {
	uint8_t key;
	uint8_t kind; /* enum dia_change_kind */
	uint32_t before, after;
};

/* One committed local transaction; its seq is its index + 1. */
struct sim_txn {
	uint8_t count;
	bool ddl;
	uint32_t commit_sec;
	struct dia_gtid gtid;
	struct dia_deps knew; /* the truth */
	struct sim_change changes[MAX_CHANGES];
	/* In the journal: stamped, shippable, survives the process. NULL before. */
	struct dia_txn *txn;
};

enum entry_kind { ENTRY_LOCAL = 0, ENTRY_MARK, ENTRY_APPLIED_DDL };

struct entry {
	enum entry_kind kind;
	struct dia_gtid gtid;
	int origin; /* index of the DC */
	uint64_t seq;
	struct dia_hlc stamp;    /* of a mark */
	uint32_t rows[MAX_KEYS]; /* the table right after this commit */
};

struct session {
	bool active;
	uint32_t written; /* bit per key */
	uint32_t row[MAX_KEYS];
	/* clients: */
	int statements; /* still to do */
	bool pending;   /* one chosen that waits for its locks */
	uint8_t verb, key, key2;
	uint8_t count;
	struct sim_change changes[MAX_CHANGES];
	/* appliers: */
	struct dia_apply_batch *batch; /* being written */
	size_t at_txn, at_change;
	bool complete;  /* all rows and the mark are written */
	bool surprised; /* an APPLY met another row than its origin had seen */
};

struct db {
	uint32_t row[MAX_KEYS];
	int8_t lock[MAX_KEYS]; /* session + 1 */
	struct session sessions[SESSIONS];
	struct sim_txn txns[MAX_TXNS];
	int txn_count;
	struct entry binlog[MAX_BINLOG];
	int binlog_count;
	struct dia_gtid_pos pos;
	uint64_t gtid_seq[MAX_DCS + 1]; /* 0: local domain; origin + 1 */
	uint64_t last_local[MAX_KEYS];  /* seq of the last local change */
	struct {
		uint64_t seq;
		struct dia_hlc stamp;
	} applied[MAX_DCS]; /* the marks' table */
	uint64_t ddl_done[MAX_DCS];
};

/* What the journal remembers besides stamps. */
struct point {
	int binlog_at;
	uint64_t seq;
	struct dia_hlc last;
	struct dia_deps applied;
	struct dia_gtid_pos pos;
};

/* Context of one applier's database operations. */
struct world;
struct applier_ctx {
	struct world *w;
	int dc, origin;
	bool ahead; /* op_parse is called amid op_write */
};

struct dc {
	int index;
	struct db db;
	int64_t skew_ms;
	/* the process */
	bool up;
	struct dia_engine *engine;
	struct dia_applier *appliers[MAX_DCS];
	struct applier_ctx ctx[MAX_DCS];
	int captured;     /* binlog entries */
	int replay_until; /* what had been in the binlog at start */
	int engine_locked;
	/* on disk */
	int journaled; /* transactions */
	struct point points[MAX_POINTS];
	int point_count;
	struct dia_deps settled; /* as last written down */
	/* the oracle: this DC's table as the replay of what it has, along its binlog */
	int checked;
	uint64_t checked_mark[MAX_DCS];
	struct {
		struct dia_stamp at;
		uint32_t image;
	} best[MAX_KEYS];
};

struct msg {
	uint64_t at_ms;
	struct dia_txn *txn;
};

struct link {
	bool up;
	uint64_t down_until_ms;
	uint64_t next_seq;
	struct dia_deps told; /* by the last watermark */
	struct msg queue[MAX_MSGS];
	int front, count;
};

struct knobs {
	int keys, clients, batch_txns;
	uint32_t client, capture, applier, send, deliver, chaos; /* weights */
	uint32_t cut, crash, jump, fault;                        /* per thousand */
	uint32_t pounce;       /* clients act between an applier's look and its commit */
	uint32_t crash_commit; /* while a commit is under way or just done */
	uint32_t delay_ms, outage_ms, deletes, ddl;
	int64_t apart_ms; /* the first DC's clock behind the others'; 0: as it comes */
	uint64_t max_ahead_ms, lock_wait_ms;
	size_t queue_bytes;
	int actions;
};

struct totals {
	uint64_t local, conflicts, upserts, kept, second, retries, crashes, cuts, ddl,
		lost_replies, held, timeouts, batches;
};

struct world {
	uint64_t random;
	uint64_t now_ms;
	int dc_count;
	uint32_t breaks;
	bool verbose, draining;
	uint32_t next_image;
	struct knobs k;
	struct dc dcs[MAX_DCS];
	struct link links[MAX_DCS][MAX_DCS]; /* [origin][receiver] */
	struct totals *totals;
	bool failed;
	char why[512];
};

uint64_t sim_rand(struct world *w, uint64_t below);
/* True n times in a thousand. */
bool sim_chance(struct world *w, uint32_t n);
uint64_t sim_wall_ms(const struct world *w, const struct dc *d);
void sim_trace(const struct world *w, const struct dc *d, const char *fmt, ...)
	DIA_PRINTF(3, 4);
/* Note the first failure; the schedule ends. */
void sim_fail(struct world *w, const char *fmt, ...) DIA_PRINTF(2, 3);
struct dia_dc sim_dc_id(int index);
struct dia_slice sim_key(int key);
uint64_t sim_key_hash(int key);
size_t sim_changes(const struct sim_txn *t, struct dia_change *ret);

/* db.c */
extern const struct dia_apply_ops sim_apply_ops;
bool db_client_step(struct world *w, struct dc *d, int session);
bool db_clients_idle(const struct dc *d);
void db_ddl_step(struct world *w, struct dc *d);
/* The connection of an applier ends: what is open is rolled back, unless its COMMIT had
 * arrived (`lands`). */
void db_applier_gone(struct world *w, struct dc *d, int origin, bool lands);

/* dc.c */
void dc_start(struct world *w, struct dc *d);
void dc_crash(struct world *w, struct dc *d);
bool dc_capture_step(struct world *w, struct dc *d);
bool dc_applier_step(struct world *w, struct dc *d, int origin);
void dc_free(struct world *w, struct dc *d);

/* link.c */
void link_cut(struct world *w, int origin, int receiver);
bool link_step(struct world *w, int origin, int receiver, bool send);
void link_free(struct world *w);

/* check.c */
void check_commit(struct world *w, struct dc *d, int origin, struct session *s);
void check_stamp(struct world *w, struct dc *d, const struct sim_txn *t,
	const struct dia_txn_head *head);
void check_table(struct world *w, struct dc *d, const struct entry *e);
bool check_drained(struct world *w);
void check_end(struct world *w);
void check_dump(const struct world *w);

/* Broken beside the engine's rules: a restart forgets the committed marks' stamps, or
 * (three DCs) does not wait for what the window lacks. */
enum { SIM_BREAK_RESTART_CLOCK = 1 << 16, SIM_BREAK_NO_REPLAY_GATE = 1 << 17 };

#endif /* DIA_SIM_WORLD_H */
