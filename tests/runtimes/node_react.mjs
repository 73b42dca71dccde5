// SPDX-License-Identifier: BSD-2-Clause

import { createServer } from "node:http";
import { page } from "./page.mjs";

let count = 0;

createServer((request, response) => {
	if (request.url === "/time") {
		response.end(`${Date.now()} 0\n`);
		return;
	}
	response.setHeader("Content-Type", "text/html; charset=utf-8");
	response.end(page(++count));
}).listen(Number(process.argv[2]), "127.0.0.1");
