// SPDX-License-Identifier: BSD-2-Clause
// What a JIT compiler makes of objects, strings, maps and numbers; prints
// milliseconds of the best of some rounds.
"use strict";

class Point {
	constructor(x, y) {
		this.x = x;
		this.y = y;
	}
	plus(p) {
		return new Point(this.x + p.x, this.y - p.y);
	}
}

function round() {
	const seen = new Map();
	let p = new Point(0, 0);
	let text = 0;

	for (let i = 0; i < 1e6; i++) {
		p = p.plus(new Point(i & 255, i % 7));
		if (i % 16 === 0)
			seen.set(`key${i & 4095}`, p);
		text += (i * 2654435761 >>> 7) % 3;
	}
	return seen.size + text + p.x + p.y;
}

let best = Infinity;
for (let i = 0; i < 30; i++) {
	const start = performance.now();

	round();
	best = Math.min(best, performance.now() - start);
}
console.log(best.toFixed(2));
