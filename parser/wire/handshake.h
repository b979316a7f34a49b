/*
 * parser/wire/handshake.h - the connection phase: server greeting, client login.
 *
 * The relay shows the database's own greeting (with its nonce) to the client, so any
 * authentication plugin works and no password is known here; only capability bits are
 * taken out, on the way down and again on the way up. Inputs are whole payloads (no
 * header); slices in the results borrow from them. Nothing here allocates.
 */
#ifndef DIA_WIRE_HANDSHAKE_H
#define DIA_WIRE_HANDSHAKE_H

#include "parser/wire/packet.h"

struct dia_greeting {
	struct dia_slice version; /* as the server wrote it */
	uint32_t connection_id;
	uint64_t caps;
	uint16_t status;
	struct dia_slice nonce1; /* 8 bytes */
	struct dia_slice nonce2; /* may be empty */
	struct dia_slice plugin; /* may be empty */
	size_t caps_low_at;      /* offsets of the capability fields in the payload */
	size_t caps_high_at;
	size_t caps_ext_at;
};

/* Handshake v10 with protocol 4.1 (every server since 2004). BAD on anything else. */
DIA_MUST_CHECK enum dia_parse dia_greeting_parse(
	struct dia_slice payload, struct dia_greeting *ret);
/* Clear in the payload and in *greeting all capabilities outside `allowed`. */
void dia_greeting_mask(uint8_t *payload, struct dia_greeting *greeting, uint64_t allowed);

struct dia_login {
	uint64_t caps; /* as sent, extension included when it is one */
	uint32_t max_packet;
	uint8_t charset;
	bool ssl_request; /* the short packet that asks for TLS; nothing below is set then
			   */
	struct dia_slice user;
	struct dia_slice auth;
	struct dia_slice db;
	struct dia_slice plugin;
};

enum { DIA_LOGIN_FIXED = 32 };

/* HandshakeResponse41 or SSLRequest. BAD when malformed or older than protocol 4.1. */
DIA_MUST_CHECK enum dia_parse dia_login_parse(
	struct dia_slice payload, struct dia_login *ret);
/* Clear in the payload and in *login all capabilities outside `allowed` (the masked
 * greeting's): a client must not switch on what it was not offered. */
void dia_login_mask(uint8_t *payload, struct dia_login *login, uint64_t allowed);

#endif /* DIA_WIRE_HANDSHAKE_H */
