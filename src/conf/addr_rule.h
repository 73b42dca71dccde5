/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Rules of allow-net, allow-connect and allow-listen.
 *
 *	HOST:PORT	HOST is a name, an IPv4 address, or [v6]; with /BITS
 *			behind an address: all that begin with so many bits
 *	HOST		any port
 *	:PORT  *:PORT	any host
 *	*		any address, Unix sockets too
 *	unix:/path	a Unix socket; a final '*' matches any rest
 */

#ifndef TKVM_ADDR_RULE_H
#define TKVM_ADDR_RULE_H

#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

struct allow;
struct tkvm_options;

/* 0: a rule as above.  -1: not, and *why says what was expected. */
int addr_rule_check(const char *rule, const char **why);
/* Does the rule cover the address?  A name in it is looked up: may block. */
int addr_rule_match(const char *rule, const struct sockaddr *, socklen_t);
int allow_covers(const struct allow *, const struct sockaddr *, socklen_t);

/* allow-all, allow-net or allow-listen (allow-connect) let it. */
int opt_may_listen(const struct tkvm_options *, const struct sockaddr *,
    socklen_t);
int opt_may_connect(const struct tkvm_options *, const struct sockaddr *,
    socklen_t);

/* "127.0.0.1:80", "[::1]:80", "unix:/path", "unix:@abstract". */
#define ADDR_TEXT	140
char *addr_text(const struct sockaddr *, socklen_t, char buf[ADDR_TEXT]);
/*
 * The opposite, without asking a name server: numeric addresses, "localhost",
 * "*" or nothing for any (v6 if it can), unix:/path.  0 or -1.
 */
int addr_parse(const char *, struct sockaddr_storage *, socklen_t *);

#ifdef __cplusplus
}
#endif

#endif
