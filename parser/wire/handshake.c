/* parser/wire/handshake.c - see handshake.h. */
#include "parser/wire/handshake.h"

/* A NUL-terminated string; without NUL the rest, which clients get away with at the end
 * of the packet. strict: a missing NUL is bad. */
static struct dia_slice take_string(struct dia_cursor *c, bool strict)
{
	size_t left = dia_cursor_left(c);
	const uint8_t *nul = left == 0 ? NULL : memchr(c->at, 0, left);
	struct dia_slice s;

	if (nul == NULL) {
		if (strict)
			c->bad = true;
		return dia_cursor_slice(c, left);
	}
	s = dia_cursor_slice(c, (size_t)(nul - c->at));
	(void)dia_cursor_take(c, 1);
	return s;
}

enum dia_parse dia_greeting_parse(struct dia_slice payload, struct dia_greeting *ret)
{
	struct dia_cursor c = dia_cursor_of(payload);
	struct dia_greeting g = {.connection_id = 0};
	uint8_t protocol = dia_cursor_u8(&c);
	uint8_t nonce_len;
	size_t rest;

	g.version = take_string(&c, true);
	g.connection_id = dia_cursor_le32(&c);
	g.nonce1 = dia_cursor_slice(&c, 8);
	(void)dia_cursor_u8(&c);
	g.caps_low_at = payload.len - dia_cursor_left(&c);
	g.caps = dia_cursor_le16(&c);
	(void)dia_cursor_u8(&c); /* character set */
	g.status = dia_cursor_le16(&c);
	g.caps_high_at = payload.len - dia_cursor_left(&c);
	g.caps |= (uint64_t)dia_cursor_le16(&c) << 16;
	nonce_len = dia_cursor_u8(&c);
	(void)dia_cursor_take(&c, 6);
	g.caps_ext_at = payload.len - dia_cursor_left(&c);
	/* MariaDB keeps its extension in the last 4 of 10 reserved bytes and says so by
	 * not setting CLIENT_MYSQL ("Connection: Initial Handshake Packet"). */
	if ((g.caps & DIA_CAP_LONG_PASSWORD) == 0)
		g.caps |= (uint64_t)dia_cursor_le32(&c) << 32;
	else
		(void)dia_cursor_take(&c, 4);
	if (c.bad || protocol != 10 || (g.caps & DIA_CAP_PROTOCOL_41) == 0)
		return DIA_PARSE_BAD;
	if ((g.caps & DIA_CAP_SECURE_CONNECTION) != 0) {
		/* max(12, length - 9) bytes, then a NUL */
		rest = nonce_len > 21 ? (size_t)nonce_len - 9 : 12;
		g.nonce2 = dia_cursor_slice(&c, rest);
		(void)dia_cursor_u8(&c);
	}
	if ((g.caps & DIA_CAP_PLUGIN_AUTH) != 0)
		g.plugin = take_string(&c, false);
	if (c.bad)
		return DIA_PARSE_BAD;
	*ret = g;
	return DIA_PARSE_OK;
}

void dia_greeting_mask(uint8_t *payload, struct dia_greeting *greeting, uint64_t allowed)
{
	bool extended = (greeting->caps & DIA_CAP_LONG_PASSWORD) == 0;

	greeting->caps &= allowed;
	dia_put_le16(payload + greeting->caps_low_at, (uint16_t)greeting->caps);
	dia_put_le16(payload + greeting->caps_high_at, (uint16_t)(greeting->caps >> 16));
	if (extended)
		dia_put_le32(payload + greeting->caps_ext_at,
			(uint32_t)(greeting->caps >> 32));
}

static void take_auth(struct dia_cursor *c, struct dia_login *l)
{
	if ((l->caps & DIA_CAP_AUTH_LENENC) != 0)
		l->auth = dia_cursor_lenenc_slice(c);
	else if ((l->caps & DIA_CAP_SECURE_CONNECTION) != 0)
		l->auth = dia_cursor_slice(c, dia_cursor_u8(c));
	else
		l->auth = take_string(c, false);
}

enum dia_parse dia_login_parse(struct dia_slice payload, struct dia_login *ret)
{
	struct dia_cursor c = dia_cursor_of(payload);
	struct dia_login l = {.caps = 0};
	uint32_t ext;

	l.caps = dia_cursor_le32(&c);
	l.max_packet = dia_cursor_le32(&c);
	l.charset = dia_cursor_u8(&c);
	(void)dia_cursor_take(&c, 19);
	ext = dia_cursor_le32(&c);
	if (c.bad || (l.caps & DIA_CAP_PROTOCOL_41) == 0)
		return DIA_PARSE_BAD;
	if ((l.caps & DIA_CAP_LONG_PASSWORD) == 0)
		l.caps |= (uint64_t)ext << 32;
	if ((l.caps & DIA_CAP_SSL) != 0 && payload.len == DIA_LOGIN_FIXED) {
		l.ssl_request = true;
		*ret = l;
		return DIA_PARSE_OK;
	}
	l.user = take_string(&c, true);
	/* Clients may end the packet after any of the following parts. */
	if (!c.bad && dia_cursor_left(&c) > 0)
		take_auth(&c, &l);
	if (!c.bad && dia_cursor_left(&c) > 0 && (l.caps & DIA_CAP_CONNECT_WITH_DB) != 0)
		l.db = take_string(&c, false);
	if (!c.bad && dia_cursor_left(&c) > 0 && (l.caps & DIA_CAP_PLUGIN_AUTH) != 0)
		l.plugin = take_string(&c, false);
	if (!c.bad && dia_cursor_left(&c) > 0 && (l.caps & DIA_CAP_CONNECT_ATTRS) != 0)
		(void)dia_cursor_lenenc_slice(&c);
	if (c.bad)
		return DIA_PARSE_BAD;
	*ret = l;
	return DIA_PARSE_OK;
}

void dia_login_mask(uint8_t *payload, struct dia_login *login, uint64_t allowed)
{
	bool extended = (login->caps & DIA_CAP_LONG_PASSWORD) == 0;

	/* CLIENT_MYSQL says how the packet itself is to be read: it stays as it is. */
	login->caps &= allowed | DIA_CAP_LONG_PASSWORD;
	dia_put_le32(payload, (uint32_t)login->caps);
	if (extended)
		dia_put_le32(payload + 28, (uint32_t)(login->caps >> 32));
}
