// SPDX-License-Identifier: BSD-2-Clause
// Deno's own server.

let count = 0;
let ticks = 0;

setInterval(() => { ticks++; }, 1000);
Deno.serve({ port: Number(Deno.args[0]), hostname: "127.0.0.1",
	onListen() {} }, (request) => new Response(
	request.url.endsWith("/time") ?
	    `${Date.now()} ${ticks}\n` : `hello ${++count}\n`,
));
