// SPDX-License-Identifier: BSD-2-Clause
// Deno's own server, on a port or unix:PATH.

let count = 0;
let ticks = 0;

setInterval(() => { ticks++; }, 1000);
Deno.serve({ ...(Deno.args[0].startsWith("unix:") ?
	{ path: Deno.args[0].slice(5) } :
	{ port: Number(Deno.args[0]), hostname: "127.0.0.1" }),
	onListen() {} }, (request) => new Response(
	request.url.endsWith("/time") ?
	    `${Date.now()} ${ticks}\n` : `hello ${++count}\n`,
));
