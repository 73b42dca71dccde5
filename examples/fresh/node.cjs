// SPDX-License-Identifier: BSD-2-Clause
//
// NODE_OPTIONS=--require=.../node.cjs
//
// What Node draws ahead (crypto.randomUUID, crypto.randomInt) and V8's
// generator (Math.random) are part of the frozen program: the same in every
// request.  Here they are made from crypto.randomFillSync(), which is fresh,
// and what is drawn ahead is thrown away with each new connection.
"use strict";

const crypto = require("node:crypto");
const net = require("node:net");
const { syncBuiltinESMExports } = require("node:module");

const words = new Uint32Array(256);
let at = words.length;

const emit = net.Server.prototype.emit;
net.Server.prototype.emit = function (event, ...args) {
	if (event === "connection" || event === "secureConnection")
		at = words.length;
	return emit.call(this, event, ...args);
};

function word() {
	if (at === words.length) {
		crypto.randomFillSync(words);
		at = 0;
	}
	return words[at++];
}

Math.random = function random() {
	return ((word() >>> 5) * 67108864 + (word() >>> 6)) / 9007199254740992;
};

const uuid = crypto.randomUUID;
const fresh_uuid = function randomUUID(options) {
	return uuid({ ...options, disableEntropyCache: true });
};
crypto.randomUUID = fresh_uuid;
Object.getPrototypeOf(crypto.webcrypto).randomUUID = function randomUUID() {
	return fresh_uuid();
};

const int = crypto.randomInt;
crypto.randomInt = function randomInt(min, max, callback) {
	if (typeof max === "function" || max === undefined)
		[min, max, callback] = [0, min, max];
	if (!Number.isSafeInteger(min) || !Number.isSafeInteger(max) ||
	    max <= min || max - min > 2 ** 48 - 1 || (callback !== undefined &&
	    typeof callback !== "function"))
		return int(min, max, callback);		// says what is wrong
	const range = max - min;
	const limit = 2 ** 48 - 2 ** 48 % range;
	const six = Buffer.allocUnsafeSlow(6);
	let n;
	do {
		crypto.randomFillSync(six);
		n = six.readUIntBE(0, 6);
	} while (n >= limit);
	n = min + n % range;
	if (callback === undefined)
		return n;
	process.nextTick(callback, undefined, n);
};

syncBuiltinESMExports();
