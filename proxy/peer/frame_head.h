/*
 * proxy/peer/frame_head.h - a transaction's head as protobuf, for frame.c and
 * frame_body.c only.
 */
#ifndef DIA_PEER_FRAME_HEAD_H
#define DIA_PEER_FRAME_HEAD_H

#include "proxy/core/change.h"
#include "proxy/peer/frame.pb-c.h"

/* The message with the storage its repeated fields point to. */
struct dia_frame_head_message {
	Dia__Pb__TxnHead m;
	uint32_t dep_dc[DIA_DEPS_MAX];
	uint64_t dep_seq[DIA_DEPS_MAX];
};

void dia_frame_head_fill(
	const struct dia_txn_head *head, struct dia_frame_head_message *ret);
DIA_MUST_CHECK enum dia_rc dia_frame_head_parse(
	struct dia_slice packed, struct dia_txn_head *ret, struct dia_err *reterr);

#endif /* DIA_PEER_FRAME_HEAD_H */
