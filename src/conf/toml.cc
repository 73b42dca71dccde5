/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Tenants files and kvmserver.toml: TOML 1.0 by toml++ behind three C calls.
 * The only C++ of the project; no exception leaves it.
 *
 * A key that a tenant sets takes the place of the one in [defaults], lists
 * too.
 */

/*
 * Some wrong files ("[/x") reach assertions of toml++ 3.3, which would take
 * varnishd down.  They become an exception that parse() turns into an error.
 * NDEBUG would make them assumptions of the compiler.
 */
#undef NDEBUG
namespace {
struct doubt { };
[[noreturn]] inline void
in_doubt()
{

	throw doubt{};
}
} /* namespace */

#define TOML_ASSERT(expr) ((expr) ? static_cast<void>(0) : in_doubt())
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <string_view>

#include "conf/conf_int.h"
extern "C" {
#include "error.h"
}

namespace {

constexpr size_t max_file = 16 << 20;

/* What is being read, for the front of errors. */
struct reader {
	const char *file;
	tkvm_error *err;
	const char *section;	/* "[defaults]: " or "" */
	bool server;		/* kvmserver.toml, not a tenants file */
};

/* "FILE:LINE: " in front of what is in *err. */
int
at(const reader &r, const toml::source_region &where)
{

	err_prefix(r.err, "%s:%u", r.file, (unsigned)where.begin.line);
	return (-1);
}

const char *
type_name(const toml::node &n)
{

	switch (n.type()) {
	case toml::node_type::table:		return ("a table");
	case toml::node_type::array:		return ("an array");
	case toml::node_type::string:		return ("a string");
	case toml::node_type::integer:		return ("a whole number");
	case toml::node_type::floating_point:
		return ("a number with decimals");
	case toml::node_type::boolean:		return ("true or false");
	default:				return ("a date or time");
	}
}

void
expected(const opt_desc *d, char *buf, size_t len)
{
	const char *what = "";

	switch (d->type) {
	case OPT_UINT:
	case OPT_SECONDS:
		text_expected(d, buf, len);
		return;
	case OPT_BOOL:
		what = "true or false";
		break;
	case OPT_STRING:
		what = "a string";
		break;
	case OPT_ALLOW:
		what = "true, false, a string or an array of strings";
		break;
	default:
		what = "a string or an array of strings";
		break;
	}
	(void)snprintf(buf, len, "%s", what);
}

int
wrong_type(const reader &r, const tkvm_options *o, const opt_desc *d,
    const toml::node &n)
{
	char want[100];

	expected(d, want, sizeof want);
	(void)opt_err(o, r.err, TKVM_E_CONFIG, "%s%s: expected %s, got %s",
	    r.section, d->name, want, type_name(n));
	return (at(r, n.source()));
}

/*
 * varnishd's current folder is not a place that a configuration can mean, so
 * a tenants file says where things are.
 */
bool
must_be_absolute(const reader &r, const opt_desc *d)
{

	return (!r.server && (d->type == OPT_VOLUME ||
	    strcmp(d->name, "cwd") == 0 || strcmp(d->name, "allow-read") == 0 ||
	    strcmp(d->name, "allow-write") == 0));
}

int
set_text(const reader &r, tkvm_options *o, const opt_desc *d,
    const std::string &s, const toml::node &n)
{
	int rv;

	if (s.find('\0') != std::string::npos)
		rv = opt_err(o, r.err, TKVM_E_CONFIG,
		    "%s: expected text without NUL bytes", d->name);
	else if (must_be_absolute(r, d) && (s.empty() || s[0] != '/'))
		rv = opt_err(o, r.err, TKVM_E_CONFIG,
		    "%s: expected an absolute path, got \"%.200s\"", d->name,
		    s.c_str());
	else
		rv = tkvm_options_set(o, d->name, s.c_str(), r.err);
	if (rv == 0)
		return (0);
	if (*r.section != '\0')
		err_prefix(r.err, "%.*s", (int)strlen(r.section) - 2,
		    r.section);
	return (at(r, n.source()));
}

int
set_array(const reader &r, tkvm_options *o, const opt_desc *d,
    const toml::array &a)
{

	for (const toml::node &n : a) {
		if (!n.is_string())
			return (wrong_type(r, o, d, n));
		if (set_text(r, o, d, n.as_string()->get(), n) != 0)
			return (-1);
	}
	return (0);
}

int
set_number(const reader &r, tkvm_options *o, const opt_desc *d,
    const toml::node &n)
{
	char text[400];

	if (const auto *i = n.as_integer())
		(void)snprintf(text, sizeof text, "%lld", (long long)i->get());
	else if (const auto *f = n.as_floating_point();
	    f != nullptr && d->type == OPT_SECONDS)
		(void)snprintf(text, sizeof text, "%.9f", f->get());
	else
		return (wrong_type(r, o, d, n));
	/* 0.1 is 0.100000000 now: nicer in errors without the tail */
	if (char *dot = strchr(text, '.')) {
		char *end = text + strlen(text);
		while (end[-1] == '0' && end - 2 > dot)
			*--end = '\0';
	}
	return (set_text(r, o, d, text, n));
}

int
set_option(const reader &r, tkvm_options *o, const opt_desc *d,
    const toml::node &n)
{

	opt_clear(o, d);
	switch (d->type) {
	case OPT_UINT:
	case OPT_SECONDS:
		return (set_number(r, o, d, n));
	case OPT_BOOL:
		if (const auto *b = n.as_boolean())
			return (set_text(r, o, d, b->get() ? "true" : "false",
			    n));
		return (wrong_type(r, o, d, n));
	case OPT_ALLOW:
		if (const auto *b = n.as_boolean()) {
			if (!b->get())
				return (0);
			return (tkvm_options_set(o, d->name, nullptr, r.err));
		}
		break;
	case OPT_STRING:
		if (n.is_string())
			return (set_text(r, o, d, n.as_string()->get(), n));
		return (wrong_type(r, o, d, n));
	default:
		break;
	}
	if (const auto *a = n.as_array())
		return (set_array(r, o, d, *a));
	if (n.is_string())
		return (set_text(r, o, d, n.as_string()->get(), n));
	return (wrong_type(r, o, d, n));
}

int
unknown_key(const reader &r, const tkvm_options *o, const toml::key &key)
{
	const std::string name(key.str());
	const char *why, *near;

	if (opt_find(name.c_str()) != nullptr)
		(void)opt_err(o, r.err, TKVM_E_CONFIG,
		    "%s%s: only kvmserver has this option", r.section,
		    name.c_str());
	else if (opt_unsupported(name.c_str(), &why))
		(void)opt_err(o, r.err, TKVM_E_CONFIG,
		    "%s%s: not supported in this version%s%s", r.section,
		    name.c_str(), why == nullptr ? "" : ": ",
		    why == nullptr ? "" : why);
	else {
		near = opt_nearest(name.c_str(), r.server ?
		    OPT_TOML | OPT_CLI : OPT_TOML);
		(void)opt_err(o, r.err, TKVM_E_CONFIG,
		    "%s%.60s: unknown key%s%s%s", r.section, name.c_str(),
		    near == nullptr ? "" : ", did you mean ",
		    near == nullptr ? "" : near, near == nullptr ? "" : "?");
	}
	return (at(r, key.source()));
}

int
set_options(const reader &r, tkvm_options *o, const toml::table &t)
{
	const unsigned where = r.server ? OPT_TOML | OPT_CLI : OPT_TOML;

	for (const auto &[key, node] : t) {
		const std::string name(key.str());
		const opt_desc *d = opt_find(name.c_str());
		if (d == nullptr || !(d->where & where))
			return (unknown_key(r, o, key));
		if (set_option(r, o, d, node) != 0)
			return (-1);
	}
	return (0);
}

/* ---- files --------------------------------------------------------------- */

int
read_file(const char *file, std::string &text, tkvm_error *err)
{
	char buf[8192];
	size_t n;
	int e = 0;
	FILE *f;

	f = fopen(file, "re");
	if (f == nullptr)
		return (err_set(err, TKVM_E_CONFIG, "%s: %s", file,
		    errno == ENOENT ? "no such file" : strerror(errno)));
	while ((n = fread(buf, 1, sizeof buf, f)) > 0 &&
	    text.size() < max_file)
		text.append(buf, n);
	if (ferror(f))
		e = errno;
	(void)fclose(f);
	if (e != 0)
		return (err_set(err, TKVM_E_CONFIG, "%s: %s", file,
		    strerror(e)));
	if (text.size() >= max_file)
		return (err_set(err, TKVM_E_CONFIG, "%s: larger than %zu MiB",
		    file, max_file >> 20));
	return (0);
}

/* The first line that the parser cannot stand. */
unsigned
doubtful_line(const std::string &text)
{
	size_t good = 0, bad, mid, end;
	unsigned line = 1;

	/* Bytes that are well are so in any longer text: search by halves. */
	for (bad = text.size(); good < bad; ) {
		mid = good + (bad - good) / 2;
		try {
			(void)toml::parse(std::string_view(text).substr(0,
			    mid));
			good = mid + 1;
		} catch (const doubt &) {
			bad = mid;
		}
	}
	end = good < text.size() ? good : text.size();
	for (size_t i = 0; i + 1 < end; i++)
		line += text[i] == '\n';
	return (line);
}

int
parse(const reader &r, const std::string &text, toml::table &out)
{

	try {
		toml::parse_result res = toml::parse(std::string_view(text));

		if (res) {
			out = std::move(res).table();
			return (0);
		}
		(void)err_set(r.err, TKVM_E_CONFIG, "%.300s",
		    std::string(res.error().description()).c_str());
		return (at(r, res.error().source()));
	} catch (const doubt &) {
		return (err_set(r.err, TKVM_E_CONFIG, "%s:%u: not TOML",
		    r.file, doubtful_line(text)));
	}
}

/* ---- tenants ------------------------------------------------------------- */

bool
tenant_name_ok(const std::string &s)
{

	return (!s.empty() && s.size() <= 64 && s.find_first_not_of(
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	    "0123456789_.-") == std::string::npos);
}

int
add_tenant(tenant_set *set, tkvm_options *o)
{
	auto **v = static_cast<tkvm_options **>(realloc(set->v,
	    (set->n + 1) * sizeof *set->v));

	if (v == nullptr)
		return (-1);
	set->v = v;
	v[set->n++] = o;
	return (0);
}

/* A check failed: the line of the key it is about, or that of the table. */
int
check_failed(const reader &r, const toml::table &t)
{
	const char *text = strstr(r.err->text, "\": ");

	text = text == nullptr ? r.err->text : text + 3;
	for (const auto &[key, node] : t)
		if (strncmp(text, std::string(key.str()).c_str(),
		    key.str().size()) == 0)
			return (at(r, node.source()));
	return (at(r, t.source()));
}

int
read_tenant(const reader &r, tenant_set *set, const tkvm_options *defaults,
    const toml::key &key, const toml::node &n)
{
	const std::string name(key.str());
	const toml::table *t = n.as_table();
	tkvm_options *o;

	if (!tenant_name_ok(name)) {
		(void)err_set(r.err, TKVM_E_CONFIG, "tenant \"%.80s\": "
		    "expected a name of 1 to 64 letters, digits, '_', '.' "
		    "or '-'", name.c_str());
		return (at(r, key.source()));
	}
	if (t == nullptr) {
		(void)err_set(r.err, TKVM_E_CONFIG, "%s: expected a table "
		    "[tenants.%s], got %s", name.c_str(), name.c_str(),
		    type_name(n));
		return (at(r, n.source()));
	}
	o = tkvm_options_dup(defaults);
	if (o == nullptr)
		throw std::bad_alloc();
	free(o->tenant);
	o->tenant = strdup(name.c_str());
	if (o->tenant == nullptr || add_tenant(set, o) != 0) {
		if (o->tenant == nullptr)
			o->tenant = static_cast<char *>(calloc(1, 1));
		tkvm_options_free(&o);
		throw std::bad_alloc();
	}
	if (set_options(r, o, *t) != 0)
		return (-1);
	if (opt_resolve(o, r.err) != 0 || tkvm_options_check(o, r.err) != 0)
		return (check_failed(r, *t));
	return (0);
}

int
unknown_table(const reader &r, const toml::key &key)
{

	(void)err_set(r.err, TKVM_E_CONFIG, "%.60s: expected [defaults] or "
	    "[tenants.NAME]", std::string(key.str()).c_str());
	return (at(r, key.source()));
}

int
read_tables(reader &r, tenant_set *set, tkvm_options *defaults,
    const toml::table &top)
{
	const toml::table *tenants = nullptr;

	for (const auto &[key, node] : top) {
		if (!node.is_table() ||
		    (key.str() != "defaults" && key.str() != "tenants"))
			return (unknown_table(r, key));
		if (key.str() == "tenants")
			tenants = node.as_table();
	}
	if (const toml::table *t = top["defaults"].as_table()) {
		r.section = "[defaults]: ";
		if (set_options(r, defaults, *t) != 0)
			return (-1);
		r.section = "";
	}
	if (tenants == nullptr || tenants->empty())
		return (err_set(r.err, TKVM_E_CONFIG,
		    "%s: expected at least one [tenants.NAME]", r.file));
	for (const auto &[key, node] : *tenants)
		if (read_tenant(r, set, defaults, key, node) != 0)
			return (-1);
	return (0);
}

int
read_tenants(const char *file, tenant_set *set, tkvm_options *defaults,
    tkvm_error *err)
{
	reader r = { file, err, "", false };
	std::string text;
	toml::table top;

	if (read_file(file, text, err) != 0 || parse(r, text, top) != 0)
		return (-1);
	return (read_tables(r, set, defaults, top));
}

/* ---- kvmserver.toml ------------------------------------------------------ */

int
read_config(const char *file, tkvm_options *o, tkvm_error *err)
{
	const reader r = { file, err, "", true };
	const toml::table *run;
	std::string text;
	toml::table top;

	if (read_file(file, text, err) != 0 || parse(r, text, top) != 0)
		return (-1);
	if (const toml::node *n = top.get("storage")) {
		(void)err_set(err, TKVM_E_CONFIG,
		    "[storage]: storage machines are not supported yet");
		return (at(r, n->source()));
	}
	run = top["run"].as_table();
	if (run != nullptr) {
		toml::table copy = *run;
		(void)top.erase("run");
		if (set_options(r, o, top) != 0)
			return (-1);
		return (set_options(r, o, copy));
	}
	return (set_options(r, o, top));
}

} /* namespace */

int
tenants_read(const char *file, struct tenant_set *set, struct tkvm_error *err)
{
	struct tkvm_options *defaults;
	struct tkvm_error own;
	int rv;

	if (err == nullptr)
		err = &own;
	set->v = nullptr;
	set->n = 0;
	defaults = tkvm_options_new("");
	if (defaults == nullptr)
		return (err_set(err, TKVM_E_MEMORY, "%s: out of memory",
		    file));
	try {
		rv = read_tenants(file, set, defaults, err);
	} catch (...) {
		rv = err_set(err, TKVM_E_MEMORY, "%s: out of memory", file);
	}
	tkvm_options_free(&defaults);
	if (rv != 0)
		tenants_free(set);
	return (rv);
}

void
tenants_free(struct tenant_set *set)
{
	unsigned u;

	for (u = 0; u < set->n; u++)
		tkvm_options_free(&set->v[u]);
	free(set->v);
	set->v = nullptr;
	set->n = 0;
}

int
tkvm_config_read(const char *file, struct tkvm_options *o,
    struct tkvm_error *err)
{
	struct tkvm_error own;

	if (err == nullptr)
		err = &own;
	try {
		return (read_config(file, o, err));
	} catch (...) {
		return (err_set(err, TKVM_E_MEMORY, "%s: out of memory",
		    file));
	}
}
