/*
 * parser/wire/command.h - the first byte of a client's command, and what it leads to.
 */
#ifndef DIA_WIRE_COMMAND_H
#define DIA_WIRE_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

enum dia_com {
	DIA_COM_SLEEP = 0x00,
	DIA_COM_QUIT = 0x01,
	DIA_COM_INIT_DB = 0x02,
	DIA_COM_QUERY = 0x03,
	DIA_COM_FIELD_LIST = 0x04,
	DIA_COM_STATISTICS = 0x09,
	DIA_COM_PROCESS_KILL = 0x0c,
	DIA_COM_PING = 0x0e,
	DIA_COM_CHANGE_USER = 0x11,
	DIA_COM_BINLOG_DUMP = 0x12,
	DIA_COM_REGISTER_SLAVE = 0x15,
	DIA_COM_STMT_PREPARE = 0x16,
	DIA_COM_STMT_EXECUTE = 0x17,
	DIA_COM_STMT_SEND_LONG_DATA = 0x18,
	DIA_COM_STMT_CLOSE = 0x19,
	DIA_COM_STMT_RESET = 0x1a,
	DIA_COM_SET_OPTION = 0x1b,
	DIA_COM_STMT_FETCH = 0x1c,
	DIA_COM_RESET_CONNECTION = 0x1f,
	DIA_COM_BULK_EXECUTE = 0xfa,
};

/* MariaDB's "the statement prepared last", so that EXECUTE can follow PREPARE unread. */
#define DIA_STMT_LAST UINT32_C(0xffffffff)

/* The shape of a command's reply; see response.h. */
enum dia_reply {
	DIA_REPLY_NONE = 0, /* nothing comes back, also not on an error */
	DIA_REPLY_RESULT,   /* OK, ERR, EOF, LOCAL INFILE or result sets */
	DIA_REPLY_CURSOR,   /* the same, and a cursor may stand in for the rows */
	DIA_REPLY_FETCH,    /* rows without column definitions */
	DIA_REPLY_PREPARE,
	DIA_REPLY_FIELDS,  /* column definitions without a count */
	DIA_REPLY_STRING,  /* one packet, whatever it holds */
	DIA_REPLY_AUTH,    /* authentication exchange, then OK or ERR */
	DIA_REPLY_STREAM,  /* binlog events until EOF or ERR */
	DIA_REPLY_LOCAL,   /* not from the server: answered here (no command maps to this)
			    */
	DIA_REPLY_UNASKED, /* packets no command asked for; never ends */
};

/* Commands we do not know get one OK/ERR-shaped reply, which is what servers do. An
 * execute that asks for a cursor is told by its flags: dia_command_cursor. */
enum dia_reply dia_command_reply(uint8_t command);
/* The reply of COM_STMT_EXECUTE with these flags (the byte behind the statement's id). */
static inline enum dia_reply dia_command_cursor(uint8_t flags)
{
	return flags != 0 ? DIA_REPLY_CURSOR : DIA_REPLY_RESULT;
}
/* Where in the payload of COM_STMT_EXECUTE the flags stand. */
enum { DIA_EXECUTE_FLAGS_AT = 5 };
/* The command works on a prepared statement named by the 4 bytes after the command byte.
 */
bool dia_command_has_stmt(uint8_t command);

#endif /* DIA_WIRE_COMMAND_H */
