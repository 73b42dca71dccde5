/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Errors as values.
 */

#include <stdio.h>
#include <string.h>

#include "error.h"
#include "obj.h"

static const char *const code_name[TKVM_E_MAX] = {
	[TKVM_OK]		= "ok",
	[TKVM_E_KVM]		= "kvm",
	[TKVM_E_CONFIG]		= "config",
	[TKVM_E_PROGRAM]	= "program",
	[TKVM_E_BOOT]		= "boot",
	[TKVM_E_MEMORY]		= "memory",
	[TKVM_E_LIMIT]		= "limit",
	[TKVM_E_TIMEOUT]	= "timeout",
	[TKVM_E_CRASH]		= "crash",
	[TKVM_E_EXIT]		= "exit",
	[TKVM_E_STUCK]		= "stuck",
	[TKVM_E_CLOSED]		= "closed",
	[TKVM_E_PROTO]		= "protocol",
	[TKVM_E_BUSY]		= "busy",
	[TKVM_E_INTERNAL]	= "internal",
};

const char *
tkvm_code_name(enum tkvm_code c)
{
	if ((unsigned)c >= TKVM_E_MAX)
		return ("unknown");
	return (code_name[c]);
}

int
err_set(struct tkvm_error *err, enum tkvm_code code, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL)
		return (-1);
	err->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(err->text, sizeof err->text, fmt, ap);
	va_end(ap);
	return (-1);
}

void
err_prefix(struct tkvm_error *err, const char *fmt, ...)
{
	char old[sizeof err->text];
	va_list ap;
	size_t n;

	if (err == NULL)
		return;
	memcpy(old, err->text, sizeof old);
	va_start(ap, fmt);
	(void)vsnprintf(err->text, sizeof err->text, fmt, ap);
	va_end(ap);
	n = strlen(err->text);
	(void)snprintf(err->text + n, sizeof err->text - n, ": %s", old);
}

void
err_tenant(struct tkvm_error *err, const char *tenant)
{

	if (err != NULL && strncmp(err->text, "tenant ", 7) != 0)
		err_prefix(err, "tenant \"%s\"", tenant);
}
