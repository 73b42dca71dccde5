// SPDX-License-Identifier: BSD-2-Clause
//
// deno run --preload .../deno.mjs, with tkvm-atfork.so in LD_PRELOAD
//
// Deno's generator looks for a fork only when its buffer of 256 bytes is used
// up; what is in there, V8's generator (Math.random) and what is drawn ahead
// (crypto.randomUUID) are part of the frozen program: the same in every
// request.  So the buffer is used up at the start of each request, and before
// each look at crypto; the others are made from it.
import crypto_of_node from "node:crypto";
import http from "node:http";

const get = crypto.getRandomValues.bind(crypto);
const rest = new Uint8Array(256);
const words = new Uint32Array(2);

function getRandomValues(view) {
	get(rest);
	return get(view);
}

function randomUUID() {
	const b = getRandomValues(new Uint8Array(16));
	b[6] = b[6] & 0x0f | 0x40;
	b[8] = b[8] & 0x3f | 0x80;
	const h = Array.from(b, (v) => v.toString(16).padStart(2, "0")).join("");
	return [h.slice(0, 8), h.slice(8, 12), h.slice(12, 16),
	    h.slice(16, 20), h.slice(20)].join("-");
}

Math.random = function random() {
	getRandomValues(words);
	return ((words[0] >>> 5) * 67108864 + (words[1] >>> 6)) /
	    9007199254740992;
};
Object.assign(Object.getPrototypeOf(crypto), { getRandomValues, randomUUID });
crypto_of_node.randomUUID = randomUUID;

const serve = Deno.serve;
Deno.serve = function (...args) {
	const last = args.length - 1;
	const wrap = (handler) => function (...request) {
		get(rest);
		return handler.apply(this, request);
	};
	if (typeof args[last] === "function")
		args[last] = wrap(args[last]);
	else if (typeof args[last]?.handler === "function")
		args[last] = { ...args[last],
		    handler: wrap(args[last].handler) };
	return serve.apply(this, args);
};

const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (event, ...args) {
	if (event === "request")
		get(rest);
	return emit.call(this, event, ...args);
};
