// SPDX-License-Identifier: BSD-2-Clause

import { page } from "./page.mjs";

let count = 0;

Deno.serve({ ...(Deno.args[0].startsWith("unix:") ?
	{ path: Deno.args[0].slice(5) } :
	{ port: Number(Deno.args[0]), hostname: "127.0.0.1" }),
	onListen() {} }, (request) => request.url.endsWith("/time") ?
	new Response(`${Date.now()} 0\n`) : new Response(page(++count),
	{ headers: { "Content-Type": "text/html; charset=utf-8" } }));
