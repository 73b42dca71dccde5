// SPDX-License-Identifier: BSD-2-Clause
// Node with a thread pool of its own: every answer is made by a worker thread,
// and the reply comes back through a MessagePort.
"use strict";

const { Worker, isMainThread, parentPort } = require("worker_threads");

if (!isMainThread) {
	parentPort.on("message", (n) => parentPort.postMessage(`hello ${n}\n`));
} else {
	const workers = [new Worker(__filename), new Worker(__filename)];
	const waiting = workers.map(() => []);
	let count = 0;
	let ticks = 0;

	workers.forEach((worker, i) => worker.on("message",
	    (text) => waiting[i].shift()(text)));
	setInterval(() => { ticks++; }, 1000);
	require("http").createServer((request, response) => {
		response.setHeader("Content-Type", "text/plain");
		if (request.url === "/time") {
			response.end(`${Date.now()} ${ticks}\n`);
			return;
		}
		const i = ++count % workers.length;

		waiting[i].push((text) => response.end(text));
		workers[i].postMessage(count);
	}).listen(Number(process.argv[2]), "127.0.0.1");
}
