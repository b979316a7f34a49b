/* parser/wire/command.c - see command.h. */
#include "parser/wire/command.h"

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
