/*-
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Where an answer's body ends: RFC 9112 section 6.3, and doubtful cases
 * refused.
 */

#ifndef TKVM_HTTP_FRAMING_H
#define TKVM_HTTP_FRAMING_H

#include "tkvm.h"

/*
 * From status and header: sets r->body and r->length.  NULL, or what is wrong
 * with it.  `head_request`: the method was HEAD.
 */
const char *http_framing(struct tkvm_response *r, int head_request);
/* The same, from what is known already; r->length is what was announced. */
void http_set_body(struct tkvm_response *r, int head_request, int has_length,
    int chunked);

#endif
