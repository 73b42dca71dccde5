/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Names for addresses in a crash: the nearest symbol of the object that is
 * mapped there, read from its file with libelf.  Only on the way to an error,
 * never on the request path.
 */

#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "machine/priv.h"

struct best {
	uint64_t	addr, value;
	char		name[128];
};

static void
scan_symbols(Elf *e, Elf_Scn *scn, const GElf_Shdr *sh, struct best *b)
{
	Elf_Data *d;
	GElf_Sym sym;
	const char *s;
	size_t i, n;

	d = elf_getdata(scn, NULL);
	if (d == NULL || sh->sh_entsize == 0)
		return;
	n = sh->sh_size / sh->sh_entsize;
	if (n > 1000000)
		n = 1000000;
	for (i = 0; i < n; i++) {
		if (gelf_getsym(d, (int)i, &sym) == NULL)
			return;
		if (GELF_ST_TYPE(sym.st_info) != STT_FUNC ||
		    sym.st_value > b->addr || sym.st_value < b->value)
			continue;
		if (sym.st_size != 0 && sym.st_value + sym.st_size <= b->addr)
			continue;
		s = elf_strptr(e, sh->sh_link, sym.st_name);
		if (s == NULL || *s == '\0')
			continue;
		b->value = sym.st_value;
		(void)snprintf(b->name, sizeof b->name, "%s", s);
	}
}

/* File offset to the object's own virtual address */
static uint64_t
to_vaddr(Elf *e, uint64_t off)
{
	GElf_Phdr p;
	size_t i, n;

	if (elf_getphdrnum(e, &n) != 0)
		return (off);
	for (i = 0; i < n && i < 64; i++)
		if (gelf_getphdr(e, (int)i, &p) != NULL &&
		    p.p_type == PT_LOAD && off >= PAGE_DOWN(p.p_offset) &&
		    off < p.p_offset + p.p_filesz)
			return (off - p.p_offset + p.p_vaddr);
	return (off);
}

static void
lookup(int fd, uint64_t off, struct best *b)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	Elf *e;

	(void)elf_version(EV_CURRENT);
	e = elf_begin(fd, ELF_C_READ, NULL);
	if (e == NULL)
		return;
	b->addr = to_vaddr(e, off);
	while ((scn = elf_nextscn(e, scn)) != NULL)
		if (gelf_getshdr(scn, &sh) != NULL &&
		    (sh.sh_type == SHT_SYMTAB || sh.sh_type == SHT_DYNSYM))
			scan_symbols(e, scn, &sh, b);
	(void)elf_end(e);
}

const char *
machine_symbol(struct machine *m, uint64_t rip, char *buf, size_t n)
{
	const struct vma *v;
	const char *name, *base;
	struct best b;
	int fd;

	memset(&b, 0, sizeof b);
	v = as_find(m->as, rip);
	name = v != NULL ? as_vma_name(m->as, v) : NULL;
	if (name == NULL || name[0] != '/') {
		(void)snprintf(buf, n, "%s", name != NULL ? name : "?");
		return (buf);
	}
	base = strrchr(name, '/') + 1;
	fd = path_open_host(m, name, O_RDONLY);
	if (fd >= 0) {
		lookup(fd, rip - v->start + v->off, &b);
		(void)close(fd);
	}
	if (b.name[0] != '\0')
		(void)snprintf(buf, n, "%s+0x%lx in %s", b.name,
		    (unsigned long)(b.addr - b.value), base);
	else
		(void)snprintf(buf, n, "%s+0x%lx", base,
		    (unsigned long)(rip - v->start + v->off));
	return (buf);
}
