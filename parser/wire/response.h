/*
 * parser/wire/response.h - where the reply of a command ends.
 *
 * Fed the bytes a server sends, as they arrive and cut anywhere. It keeps no payload: a
 * packet is judged by its length and its first DIA_RESPONSE_HEAD bytes, so a result of
 * any size costs the memory of this struct. One struct serves a connection's whole life;
 * dia_response_start names the next reply. Nothing here allocates.
 *
 *   RESULT   FIRST -> OK, ERR, EOF                                  done
 *            FIRST -> 0xfb                                          INFILE, then FIRST
 * again FIRST -> count -> COLUMNS -> (EOF) -> ROWS -> end      done a status with
 * MORE_RESULTS at "done" leads to FIRST instead; ERR never does EXECUTE  as RESULT; EOF
 * after the columns with CURSOR_EXISTS    done, rows come by FETCH FETCH    ROWS PREPARE
 * FIRST -> PARAMS -> (EOF) -> COLS -> (EOF)              done
 */
#ifndef DIA_WIRE_RESPONSE_H
#define DIA_WIRE_RESPONSE_H

#include "parser/wire/command.h"
#include "parser/wire/packet.h"

enum dia_response_event {
	DIA_RESPONSE_MORE = 0, /* all input taken, the reply goes on */
	DIA_RESPONSE_DONE,     /* the reply ended with the last byte taken */
	DIA_RESPONSE_INFILE,   /* now the client sends a file, then the reply goes on */
	DIA_RESPONSE_AUTH, /* AUTH only: a packet of the exchange that may want an answer
			    */
	DIA_RESPONSE_BAD,  /* not the protocol: the connection is of no use any more */
};

enum dia_response_state {
	DIA_RESPONSE_FIRST = 0,
	DIA_RESPONSE_COLUMNS,     /* counted */
	DIA_RESPONSE_COLUMNS_EOF, /* the EOF behind them */
	DIA_RESPONSE_ROWS,
	DIA_RESPONSE_PARAMS,   /* definitions of a prepared statement's parameters */
	DIA_RESPONSE_PREPARED, /* … and of its columns */
	DIA_RESPONSE_DEFS,     /* definitions up to the terminator */
	DIA_RESPONSE_OVER,
};

enum { DIA_RESPONSE_HEAD = 32 };

struct dia_response {
	uint64_t caps;
	enum dia_reply kind;
	enum dia_response_state state;
	uint64_t defs_left;    /* of COLUMNS, PARAMS, PREPARED */
	uint16_t stmt_columns; /* of PREPARE, as the 16 bits said */
	/* what the reply said */
	bool fresh;  /* no packet of it has begun */
	bool failed; /* it ended with ERR */
	uint16_t error;
	uint16_t status;  /* of the last OK or EOF; survives dia_response_start */
	uint32_t stmt_id; /* of the last PREPARE that went well */
	uint8_t seq;      /* of the last packet begun */
	/* framing */
	uint8_t header[DIA_PACKET_HEADER];
	uint8_t header_len;
	uint8_t head_len;
	bool continues; /* the packet at hand has full length: another belongs to it */
	bool joined;    /* the packet at hand belongs to the one before */
	uint32_t left;  /* payload bytes missing of the packet at hand */
	uint64_t total; /* payload length so far, over continued packets */
	uint8_t head[DIA_RESPONSE_HEAD];
};

void dia_response_init(struct dia_response *r, uint64_t caps);
/* Begin the next reply. A packet half seen (sent unasked) becomes its first packet. */
void dia_response_start(struct dia_response *r, enum dia_reply kind);
/* Take bytes up to the next event; returns how many were taken. */
size_t dia_response_feed(
	struct dia_response *r, struct dia_slice in, enum dia_response_event *ret);
/* True when no packet is half seen: a packet of our own may be put in here. */
bool dia_response_at_boundary(const struct dia_response *r);

#endif /* DIA_WIRE_RESPONSE_H */
