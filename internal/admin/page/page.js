"use strict";
// Keeps the page as fresh as /status: every two seconds while it is seen.
const every = 2000;
let before = null;

const find = (root, selector) => root.querySelector(selector);

function set(node, text) {
  if (node && node.textContent !== text) node.textContent = text;
}

function size(n) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return n.toFixed(i ? 1 : 0) + " " + units[i];
}

function rates(card, now, old, seconds) {
  for (const node of card.querySelectorAll("[data-r]")) {
    const key = node.dataset.r;
    const change = old ? now[key] - old[key] : NaN;
    if (!(change >= 0) || !(seconds > 0)) { set(node, "-"); continue; }
    const rate = change / seconds;
    set(node, key.startsWith("bytes") ? size(rate) : rate.toFixed(1));
  }
}

const svg = (name, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};

// A bar a minute, the newest at the right; dots above it for tokens.
function timeline(box, minutes) {
  const height = 64, floor = 14, most = Math.max(1, ...minutes.map(m => m.reauths + m.refused + m.expired + m.handovers_failed + m.deferred));
  const graph = svg("svg", { viewBox: `0 0 900 ${height}`, preserveAspectRatio: "none" });
  for (const m of minutes) {
    const x = (89 - m.ago) * 10;
    if (x < 0) continue;
    let y = height;
    for (const [kind, n] of [["reauths", m.reauths], ["deferred", m.deferred], ["bad", m.refused + m.expired + m.handovers_failed]]) {
      if (!n) continue;
      const h = Math.max(2, n / most * (height - floor));
      y -= h;
      graph.append(svg("rect", { x: x + 1, y, width: 8, height: h, class: kind }));
    }
    if (m.refreshed) graph.append(svg("rect", { x: x + 2, y: 1, width: 6, height: 4, class: "refreshed" }));
    if (m.failed) graph.append(svg("rect", { x: x + 2, y: 7, width: 6, height: 4, class: "failed" }));
  }
  box.replaceChildren(graph);
  const sum = key => minutes.reduce((n, m) => n + m[key], 0);
  box.setAttribute("aria-label", `in 90 minutes ${sum("reauths")} re-AUTHs, ${sum("refused")} refused, ${sum("handovers_failed")} failed handovers, ${sum("expired")} connections expired, ${sum("refreshed")} new tokens, ${sum("failed")} failed refreshes`);
}

function events(list, all) {
  list.replaceChildren(...all.map(e => {
    const item = document.createElement("li"), when = document.createElement("time");
    item.dataset.type = e.type;
    when.textContent = e.when;
    when.dateTime = e.last;
    const text = document.createElement("span");
    text.textContent = e.text;
    item.append(when, " ", text);
    return item;
  }));
}

function show(status) {
  const cards = [...document.querySelectorAll("[data-target]")];
  if (cards.map(c => c.dataset.target).join("\n") !== status.targets.map(t => t.name).join("\n")) {
    location.reload(); // another configuration
    return;
  }
  const seconds = before ? (new Date(status.now) - new Date(before.now)) / 1000 : 0;
  status.targets.forEach((t, i) => {
    const card = cards[i];
    card.dataset.ready = t.ready;
    for (const node of card.querySelectorAll("[data-k]")) set(node, t.text[node.dataset.k]);
    rates(card, t, before && before.targets[i], seconds);
    timeline(find(card, ".timeline"), t.minutes);
    events(find(card, ".events"), t.events);
  });
  set(find(document, "#reload"), status.reload_error ? "The last reload failed, and what it could not change is as it was: " + status.reload_error : "");
  const live = find(document, "#live");
  live.className = "";
  set(live, (status.stopping ? "shutting down, " : "") + "live, " + status.now.slice(11, 19) + " UTC");
  before = status;
}

async function poll() {
  try {
    const answer = await fetch("/status", { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(answer.status);
    show(await answer.json());
  } catch {
    const live = find(document, "#live");
    live.className = "stale";
    set(live, "no answer" + (before ? " since " + before.now.slice(11, 19) + " UTC" : ""));
  }
  setTimeout(next, every);
}

function next() {
  if (!document.hidden) { poll(); return; }
  document.addEventListener("visibilitychange", next, { once: true });
}

poll();
