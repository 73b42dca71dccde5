// SPDX-License-Identifier: BSD-2-Clause
//
// fresh.c's answer from Node and Deno: as they are, or with examples/fresh.
import { createServer } from "node:http";
import * as node from "node:crypto";

const hex = (b) => Array.from(b, (v) => v.toString(16)).join(".");

function draw() {
	return Object.entries({
		getRandomValues: hex(globalThis.crypto.getRandomValues(
		    new Uint8Array(16))),
		webUUID: globalThis.crypto.randomUUID(),
		randomBytes: node.randomBytes(16).toString("hex"),
		randomUUID: node.randomUUID(),
		defaultUUID: node.default.randomUUID(),
		randomInt: [1, 2, 3].map(() => node.randomInt(2 ** 47)).join(),
		random: [1, 2].map(() => Math.random()).join(),
	}).map((p) => p.join(" ") + "\n").join("");
}

draw();
createServer((request, response) => response.end(draw())).listen(8080);
