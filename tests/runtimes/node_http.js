// SPDX-License-Identifier: BSD-2-Clause
// Node's own server, on a port or unix:PATH.
"use strict";

let count = 0;
let ticks = 0;

setInterval(() => { ticks++; }, 1000);
require("http").createServer((request, response) => {
	response.setHeader("Content-Type", "text/plain");
	response.end(request.url === "/time" ?
	    `${Date.now()} ${ticks}\n` : `hello ${++count}\n`);
}).listen(process.argv[2].startsWith("unix:") ?
    { path: process.argv[2].slice(5) } :
    { port: Number(process.argv[2]), host: "127.0.0.1" });
