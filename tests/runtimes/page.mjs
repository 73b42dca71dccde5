// SPDX-License-Identifier: BSD-2-Clause
// A page of some 30 kB, rendered by React for every request.

import React from "react";
import { renderToString } from "react-dom/server";

const h = React.createElement;
const ROWS = 130;

function Price({ cents }) {
	return h("span", { className: "price" },
	    (cents / 100).toFixed(2), " EUR");
}

function Row({ item }) {
	return h("tr", { id: `item-${item.id}`,
		className: item.id % 2 ? "odd" : "even" },
	    h("td", null, item.id),
	    h("td", null, h("a", { href: `/items/${item.id}`,
		title: item.name }, item.name)),
	    h("td", { style: { textAlign: "right" } },
		h(Price, { cents: item.cents })),
	    h("td", null, item.tags.map((t) =>
		h("em", { key: t }, t))));
}

function Page({ count, items }) {
	return h("html", { lang: "en" },
	    h("head", null, h("title", null, "Items & prices")),
	    h("body", null, h("h1", null, "hello ", count),
		h("table", null, h("tbody", null,
		    items.map((i) => h(Row, { key: i.id, item: i }))))));
}

export function page(count) {
	const items = [];

	for (let id = 0; id < ROWS; id++)
		items.push({ id, name: `Item number ${id} <new>`,
			cents: (id * 7919) % 100000,
			tags: ["red", "green", "blue"].slice(id % 3) });
	return "<!DOCTYPE html>" +
	    renderToString(h(Page, { count, items }));
}
