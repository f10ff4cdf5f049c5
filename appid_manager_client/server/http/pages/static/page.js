// Shows a page anew every few seconds, and counts down. Without it, pages are as they were loaded.
"use strict";

const REFRESH_MS = 5000;
const skew = (node) => Date.now() - Number(node.dataset.now);

function age(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

const skews = new WeakMap();

function count() {
  for (const node of document.querySelectorAll("[data-until]")) {
    if (!skews.has(node)) skews.set(node, skew(node));
    node.textContent = age(Number(node.dataset.until) - (Date.now() - skews.get(node)));
  }
}

function busy(main) {
  const active = document.activeElement;
  return document.hidden || (active !== null && active !== document.body && main.contains(active));
}

async function refresh() {
  const main = document.querySelector("main[data-live]");
  if (main === null || busy(main)) return;
  try {
    const answer = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = fresh.querySelector("main[data-live]");
    if (next === null || busy(main)) return;
    const shown = [...main.querySelectorAll(".table")].map((table) => table.scrollLeft);
    main.replaceChildren(...next.childNodes);
    main.querySelectorAll(".table").forEach((table, n) => (table.scrollLeft = shown[n] ?? 0));
    document.querySelector("footer").replaceWith(fresh.querySelector("footer"));
  } catch {
    // The service can't be reached: the page stays as it is.
  }
}

setInterval(count, 1000);
setInterval(refresh, REFRESH_MS);
