/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Log lines of the library and of guests, as VSL records.
 *
 * A record is cut at vsl_reclen (255 bytes by default), and what a guest
 * writes is not to be trusted on an operator's terminal: long lines become
 * several records, up to a limit, and control characters become '?'.
 */

#include "config.h"

#include <stdio.h>
#include <string.h>

#include "vmod_kvm.h"

#define PARTS_MAX	8u
#define PART_SZ		1024u

static size_t
part_size(size_t prefix)
{
	size_t room = cache_param->vsl_reclen;

	room = room > prefix + 32 ? room - prefix - 1 : 32;
	return (room < PART_SZ ? room : PART_SZ - 1);
}

/* Up to `room` bytes, not ending inside of a UTF-8 character. */
static size_t
cut(const char *text, size_t len, size_t room)
{
	size_t n = room;

	if (len <= room)
		return (len);
	while (n > room - 4 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	return (n);
}

/* To the transaction, or without one. */
static void
put(struct vsl_log *vsl, enum VSL_tag_e tag, const char *prefix,
    const char *text)
{
	char part[PART_SZ];
	size_t len = strlen(text), room = part_size(strlen(prefix)), n, i;
	unsigned u;

	for (u = 0; u < PARTS_MAX && (len > 0 || u == 0); u++) {
		n = cut(text, len, room);
		for (i = 0; i < n; i++)
			part[i] = (unsigned char)text[i] < 0x20 ||
			    text[i] == 0x7f ? '?' : text[i];
		part[n] = '\0';
		if (vsl != NULL)
			VSLb(vsl, tag, "%s%s", prefix, part);
		else
			VSL(tag, NO_VXID, "%s%s", prefix, part);
		text += n;
		len -= n;
	}
}

static void
put_level(struct vsl_log *vsl, const char *name, enum tkvm_log level,
    const char *msg)
{
	char prefix[128];

	switch (level) {
	case TKVM_LOG_ERROR:
	case TKVM_LOG_WARN:
		kvm_log_error(vsl, name, msg);
		break;
	case TKVM_LOG_STDOUT:
	case TKVM_LOG_STDERR:
		(void)snprintf(prefix, sizeof prefix, "kvm %.64s %s: ", name,
		    level == TKVM_LOG_STDOUT ? "stdout" : "stderr");
		put(vsl, SLT_VCL_Log, prefix, msg);
		break;
	default:
		(void)snprintf(prefix, sizeof prefix, "kvm %.64s: ", name);
		put(vsl, SLT_Debug, prefix, msg);
		break;
	}
}

/*
 * The library's texts name the tenant, but tenants that share an image also
 * share the name of the first of them.
 */
void
kvm_log_error(struct vsl_log *vsl, const char *name, const char *text)
{
	char prefix[128] = "kvm: ";

	AN(name);
	AN(text);
	if (strstr(text, name) == NULL)
		(void)snprintf(prefix, sizeof prefix, "kvm: %.64s: ", name);
	put(vsl, SLT_Error, prefix, text);
}

void v_matchproto_(tkvm_log_f)
kvm_log_fetch(void *priv, enum tkvm_log level, const char *msg)
{
	struct kvm_fetch *f;

	CAST_OBJ_NOTNULL(f, priv, KVM_FETCH_MAGIC);
	put_level(f->vsl, f->tenant->name, level, msg);
}

void v_matchproto_(tkvm_log_f)
kvm_log_image(void *priv, enum tkvm_log level, const char *msg)
{
	struct kvm_image *img;

	CAST_OBJ_NOTNULL(img, priv, KVM_IMAGE_MAGIC);
	put_level(NULL, img->name, level, msg);
}
