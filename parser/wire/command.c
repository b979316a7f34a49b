/* parser/wire/command.c - see command.h. */
#include "parser/wire/command.h"

#include <stddef.h>

enum dia_reply dia_command_reply(uint8_t command)
{
	switch (command) {
	case DIA_COM_QUIT:
	case DIA_COM_STMT_SEND_LONG_DATA:
	case DIA_COM_STMT_CLOSE:
		return DIA_REPLY_NONE;
	case DIA_COM_STMT_FETCH:
		return DIA_REPLY_FETCH;
	case DIA_COM_STMT_PREPARE:
		return DIA_REPLY_PREPARE;
	case DIA_COM_FIELD_LIST:
		return DIA_REPLY_FIELDS;
	case DIA_COM_STATISTICS:
		return DIA_REPLY_STRING;
	case DIA_COM_CHANGE_USER:
		return DIA_REPLY_AUTH;
	case DIA_COM_BINLOG_DUMP:
		return DIA_REPLY_STREAM;
	default:
		return DIA_REPLY_RESULT;
	}
}

bool dia_command_has_stmt(uint8_t command)
{
	switch (command) {
	case DIA_COM_STMT_EXECUTE:
	case DIA_COM_BULK_EXECUTE:
	case DIA_COM_STMT_FETCH:
	case DIA_COM_STMT_RESET:
	case DIA_COM_STMT_CLOSE:
	case DIA_COM_STMT_SEND_LONG_DATA:
		return true;
	default:
		return false;
	}
}

const char *dia_command_name(uint8_t command)
{
	static const char *const names[] = {
		[DIA_COM_SLEEP] = "sleep",
		[DIA_COM_QUIT] = "quit",
		[DIA_COM_INIT_DB] = "init_db",
		[DIA_COM_QUERY] = "query",
		[DIA_COM_FIELD_LIST] = "field_list",
		[DIA_COM_STATISTICS] = "statistics",
		[DIA_COM_PROCESS_KILL] = "process_kill",
		[DIA_COM_PING] = "ping",
		[DIA_COM_CHANGE_USER] = "change_user",
		[DIA_COM_BINLOG_DUMP] = "binlog_dump",
		[DIA_COM_REGISTER_SLAVE] = "register_slave",
		[DIA_COM_STMT_PREPARE] = "stmt_prepare",
		[DIA_COM_STMT_EXECUTE] = "stmt_execute",
		[DIA_COM_STMT_SEND_LONG_DATA] = "stmt_send_long_data",
		[DIA_COM_STMT_CLOSE] = "stmt_close",
		[DIA_COM_STMT_RESET] = "stmt_reset",
		[DIA_COM_SET_OPTION] = "set_option",
		[DIA_COM_STMT_FETCH] = "stmt_fetch",
		[DIA_COM_RESET_CONNECTION] = "reset_connection",
		[DIA_COM_BULK_EXECUTE] = "bulk_execute",
	};

	if (command < sizeof(names) / sizeof(names[0]) && names[command] != NULL)
		return names[command];
	return "other";
}
