// The whole dashboard. Texts from processes only ever become text nodes: no markup is made of them.
"use strict";

const TOKEN = "operator-token";
const MAX_LINES = 2000;
const MAX_FACTS = 300;
const REFRESH = 2000;

const page = document.getElementById("page");
const dialog = document.getElementById("dialog");
let processes = [];
let mesh = {};
/** What the shown page does with events, with its refresh, and when it is left. */
let view = {};
let source = null;
let timer = 0;

// === Elements ===

/** Creates an element; properties that begin with `on` are listeners, others attributes. */
function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  fill(element, properties, children);
  return element;
}

function svg(tag, properties, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(element, properties, children);
  return element;
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "hue") element.style.setProperty("--hue", hue(value));
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
}

function show(...children) {
  page.replaceChildren(...children.flat(9).filter(Boolean));
}

/** The colour of a name, the same everywhere; those of processes lie far apart. */
function hue(name) {
  const place = processes.findIndex((row) => row.name === name);
  if (place >= 0) return (218 + place * 137.5) % 360;
  let hash = 7;
  for (const letter of name) hash = (hash * 31 + letter.codePointAt(0)) % 9973;
  return (hash * 47) % 360;
}

/** A name without its packages: `a.v1.B/C` is `B/C`. */
const short = (name) => name.replace(/\b(?:[a-z_][a-z0-9_]*\.)+(?=[A-Z])/g, "");

const chip = (name) => h("span", { class: "chip", hue: name }, name);
const empty = (...text) => h("div", { class: "empty" }, ...text);

// === Formats ===

function duration(us) {
  if (us < 1000) return `${us} µs`;
  if (us < 1e6) return `${(us / 1000).toPrecision(3)} ms`;
  return us < 6e7 ? `${(us / 1e6).toFixed(2)} s` : ago(us / 1000);
}

function ago(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  return s < 86400 ? `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min` : `${Math.floor(s / 86400)} d`;
}

function clock(time) {
  const date = new Date(time);
  if (isNaN(date)) return "";
  const two = (number) => String(number).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

const several = (count, name) => `${number(count)} ${name}${count === 1 ? "" : "s"}`;

const number = (value, digits = 0) =>
  value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits });

// === Requests ===

async function get(path) {
  const answer = await fetch(path);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.message || answer.statusText);
  return body;
}

/** Posts with the operator's token, which is asked for when there is none. */
async function post(path, message) {
  const token = sessionStorage.getItem(TOKEN) || (await askToken());
  if (!token) throw new Error("This needs the operator's token.");
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify(message),
  });
  const body = await answer.json();
  if (answer.status === 401) {
    forget();
    throw new Error("The token is wrong; enter it again.");
  }
  if (!answer.ok) throw new Error(body.message || answer.statusText);
  return body;
}

function notice(text, isFault) {
  const element = h("div", { class: isFault ? "fault" : "" }, text);
  document.getElementById("notices").append(element);
  setTimeout(() => element.remove(), 6000);
}

// === Dialogs and the token ===

/** Opens a dialog; returns what `done` is called with, or nothing when it is closed. */
function ask(build) {
  return new Promise((resolve) => {
    const done = (value) => { dialog.onclose = null; dialog.close(); resolve(value); };
    dialog.replaceChildren(...build(done).flat(9).filter(Boolean));
    dialog.onclose = () => resolve(undefined);
    dialog.showModal();
  });
}

function askToken() {
  return ask((done) => {
    const input = h("input", { type: "password", autocomplete: "off", name: "token" });
    const enter = () => {
      const token = input.value.trim();
      if (!token) return;
      sessionStorage.setItem(TOKEN, token);
      showToken();
      done(token);
    };
    return [h("form", { onsubmit: (event) => { event.preventDefault(); enter(); } },
      h("h2", {}, "Operator's token"),
      h("p", { class: "dim" }, "It is the second word in ", h("code", {}, mesh.operator_file || ".mesh/operators"),
        ". This tab keeps it until it is closed."),
      h("label", {}, "Token", input),
      h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => done() }, "Cancel"),
        h("button", { class: "primary", "data-use": true }, "Use")))];
  });
}

function showToken() {
  document.getElementById("token").textContent = sessionStorage.getItem(TOKEN) ? "Forget token" : "Token";
}

function forget() {
  sessionStorage.removeItem(TOKEN);
  showToken();
}

document.getElementById("token").addEventListener("click", async () => {
  if (sessionStorage.getItem(TOKEN)) return forget();
  if (await askToken()) post("/api/token", {}).then(() => notice("The token is right."), (error) => notice(error.message, true));
});

// === Events ===

/** Follows the processes, and what the page wants beside them; nothing while the tab is hidden. */
function follow() {
  source?.close();
  source = null;
  if (document.hidden) return;
  source = new EventSource(`/api/live?${view.topic || ""}`);
  const on = (name, act) => source.addEventListener(name, (event) => act(JSON.parse(event.data)));
  on("processes", (rows) => { processes = rows; health(); view.processes?.(); });
  on("logs", (found) => view.logs?.(found));
  on("facts", (found) => view.facts?.(found));
  on("following", () => view.trouble?.(null));
  on("trouble", (trouble) => view.trouble?.(trouble.message));
  source.onopen = () => view.opened?.();
  source.onerror = () => health("no connection to the mesh");
}

function health(trouble) {
  const pill = document.getElementById("health");
  const healthy = processes.filter((row) => row.state === "healthy").length;
  const isWhole = !trouble && healthy === processes.length;
  pill.className = `pill ${trouble ? "fault" : isWhole ? "good" : "warn"}`;
  pill.textContent = trouble || (isWhole ? `all ${healthy} healthy` : `${healthy} of ${processes.length} healthy`);
}

// === Processes ===

const LOOK = { healthy: "good", unhealthy: "fault", restarting: "fault", starting: "warn", stopped: "" };

function processesPage() {
  const body = h("tbody");
  const draw = () => body.replaceChildren(...processes.map((row) => h("tr", { "data-process": row.name, "data-state": row.state, "data-restarts": row.restarts },
    h("td", { class: "name" }, row.name),
    h("td", {}, h("span", { class: `pill ${LOOK[row.state]}` }, row.state)),
    h("td", { class: "wide" },
      row.has_metrics ? h("code", {}, `http://${row.address}`) : h("code", {}, row.address),
      row.detail && h("div", { class: "why" }, row.detail),
      row.last_exit && h("div", { class: "why" }, `last exit: ${row.last_exit}`)),
    h("td", { class: "right", "data-label": "restarts" }, number(row.restarts)),
    h("td", { class: "right", "data-label": "pid" }, row.pid ?? "–"),
    h("td", { class: "right", "data-label": "since" }, ago(Date.now() - row.since_ms)),
    h("td", { class: "right" }, h("a", { href: `#/logs?process=${encodeURIComponent(row.name)}` }, "Logs")))));
  show(
    h("h1", {}, "Processes"),
    h("p", { class: "lead" }, "What the supervisor runs. A process that dies comes back on the same address.",
      mesh.gateway && [" The gateway is at ", h("a", { href: mesh.gateway + "/docs", rel: "noreferrer", target: "_blank" }, mesh.gateway), "."]),
    h("div", { class: "card" }, h("table", { class: "stack" },
      h("thead", {}, h("tr", {}, ["Process", "Health", "Address"].map((name) => h("th", {}, name)), ["Restarts", "Pid", "Since", ""].map((name) => h("th", { class: "right" }, name)))), body)));
  draw();
  return { processes: draw, refresh: draw };
}

// === Logs ===

function logsPage(query) {
  const lines = h("div", { class: "card lines", role: "log", tabindex: 0 });
  const text = h("input", { type: "search", placeholder: "Part of a line", value: query.get("text") || "", "aria-label": "Text" });
  const chosen = h("select", { "aria-label": "Process" });
  const pause = h("button", { type: "button" }, "Pause");
  let isPaused = false;
  const options = () => {
    const value = chosen.value || query.get("process") || "";
    const names = [...new Set([...processes.map((row) => row.name), value].filter(Boolean))];
    chosen.replaceChildren(h("option", { value: "" }, "All processes"), ...names.map((name) => h("option", { value: name }, name)));
    chosen.value = value;
  };
  const filter = () => navigate("logs", { process: chosen.value, text: text.value.trim() });
  chosen.addEventListener("change", filter);
  text.addEventListener("change", filter);
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? "Go on" : "Pause";
    if (!isPaused) follow();
  });
  const add = (found) => {
    if (isPaused) return;
    const isAtEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 60;
    if (found.skipped_bytes) lines.append(h("div", { class: "gap" }, `${number(found.skipped_bytes)} bytes left out`));
    lines.querySelector(".empty")?.remove();
    lines.append(...found.lines.map((line) => h("div", { class: line.level, hue: line.process },
      h("span", { class: "dim", title: line.at }, clock(line.at) || "·"), h("span", { class: "who" }, line.process),
      h("span", { class: "level dim" }, line.level), h("span", { class: "text" }, logText(line.text)))));
    while (lines.childElementCount > MAX_LINES) lines.firstElementChild.remove();
    if (isAtEnd) lines.scrollTop = lines.scrollHeight;
  };
  options();
  show(h("h1", {}, "Logs"),
    h("p", { class: "lead" }, "The end of every process's log file, as it grows."),
    h("div", { class: "bar" }, text, chosen, pause), lines);
  const topic = new URLSearchParams({ topic: "logs", process: query.get("process") || "", text: query.get("text") || "" });
  return { topic: topic.toString(), logs: add, processes: options, opened: () => lines.replaceChildren(empty("No line yet.")) };
}

/** Spans before a message, `name{key=value}:`, with quoted values. */
const CONTEXT = /^((?:[\w.]+(?:\{(?:[^{}"]|"(?:[^"\\]|\\.)*")*\})?:)*[\w.]+\{(?:[^{}"]|"(?:[^"\\]|\\.)*")*\}:)\s+/;

/** The message first: the spans that it was logged in are in a hint. */
function logText(text) {
  const context = text.match(CONTEXT);
  return context ? [text.slice(context[0].length), " ", h("span", { class: "tag", title: context[1] }, context[1].split("{")[0])] : text;
}

// === Traces ===

function tracesPage(query) {
  const input = (name, properties) => h("input", { name, value: query.get(name) || "", ...properties });
  const text = input("text", { type: "search", placeholder: "Trace id, route, method or name", "aria-label": "Trace id, route, method or name" });
  const least = input("min_ms", { type: "number", min: 0, placeholder: "from ms", "aria-label": "Shortest duration in milliseconds" });
  const service = h("select", { "aria-label": "Service" });
  const status = h("select", { "aria-label": "Status" }, [["", "Any status"], ["error", "Failed"], ["ok", "Succeeded"]].map(([value, label]) => h("option", { value }, label)));
  status.value = query.get("status") || "";
  const kinds = h("select", { "aria-label": "Origin" }, [["", "Requests"], ["1", "Batches too"]].map(([value, label]) => h("option", { value }, label)));
  kinds.value = query.get("all") || "";
  const filter = () => navigate("traces", { text: text.value.trim(), service: service.value, status: status.value, min_ms: least.value, all: kinds.value });
  for (const field of [text, service, status, least, kinds]) field.addEventListener("change", filter);
  const body = h("tbody");
  const foot = h("p", { class: "dim" });
  const note = h("p", { class: "note", hidden: true });
  const list = h("div", { class: "card" });
  const table = h("table", { class: "stack" }, h("thead", {}, h("tr", {}, ["Time", "Request", "Status", "Services"].map((name) => h("th", {}, name)), ["Spans", "Duration"].map((name) => h("th", { class: "right" }, name)))), body);
  const refresh = async () => {
    const found = await get(`/api/traces?${query}`);
    const wanted = query.get("service") || "";
    const names = [...new Set([...found.services, wanted].filter(Boolean))];
    if (document.activeElement !== service) {
      service.replaceChildren(h("option", { value: "" }, "All services"), ...names.map((name) => h("option", { value: name }, name)));
      service.value = wanted;
    }
    note.hidden = !found.collector;
    note.textContent = `This mesh sends its traces to ${found.collector}; start it without --otlp to see them here.`;
    body.replaceChildren(...found.traces.map((trace) => {
      const open = () => { location.hash = `#/trace/${trace.id}`; };
      return h("tr", { class: "link", "data-trace": trace.id, onclick: open },
        h("td", { class: "dim time" }, clock(trace.started_ms)),
        h("td", { class: "name wide" }, h("a", { href: `#/trace/${trace.id}` }, short(trace.name)), h("div", { class: "why mono" }, trace.id.slice(0, 16))),
        h("td", {}, trace.errors ? h("span", { class: "pill fault" }, trace.status || "failed") : h("span", { class: "pill good" }, trace.status || "ok")),
        h("td", { class: "wide" }, h("div", { class: "chips" }, trace.services.map(chip))),
        h("td", { class: "right", "data-label": "spans" }, number(trace.spans)),
        h("td", { class: "right" }, duration(trace.duration_us)));
    }));
    list.replaceChildren(found.traces.length ? table : empty(query.toString() ? "No trace matches." : found.spans ? "No request yet. Choose “Batches too” to see what consumers and sagas did on their own." : "No trace yet: call the gateway, and it appears here within a second."));
    foot.textContent = `${number(found.spans)} spans kept, ${number(found.bytes / 1048576, 1)} MiB; ${number(found.dropped_traces)} older traces dropped.`;
  };
  show(h("h1", {}, "Traces"), h("p", { class: "lead" }, "Requests on their way through gateway, services, facts and sagas; the latest first."),
    note, h("div", { class: "bar" }, text, service, kinds, status, least), list, foot);
  return { refresh };
}

async function tracePage(id) {
  show(empty("Loading…"));
  let size = -1;
  const refresh = async () => {
    let found;
    try {
      found = await get(`/api/traces/${encodeURIComponent(id)}`);
    } catch (error) {
      return show(h("p", {}, h("a", { href: "#/traces" }, "← Traces")), h("div", { class: "card" }, empty(error.message)));
    }
    // Later spans of the same trace arrive while it is open.
    if (found.spans.length !== size) {
      size = found.spans.length;
      drawTrace(found);
    }
  };
  return { refresh };
}

function drawTrace(found) {
  const total = Math.max(found.duration_us, 1);
  const ticks = [0, 0.25, 0.5, 0.75].map((part) => {
    const tick = h("span", {}, duration(Math.round(total * part)));
    tick.style.left = `${part * 100}%`;
    return tick;
  });
  const batches = found.spans.filter((span) => span.batch).length;
  const rows = found.spans.map((span) => {
    const line = h("i", { hue: span.service });
    line.style.left = `${Math.min((span.start_us / total) * 100, 99.6)}%`;
    line.style.width = `${(span.duration_us / total) * 100}%`;
    const what = h("span", { class: "what" }, chip(span.service),
      h("span", { class: "label", title: span.name }, short(span.name)),
      span.batch && h("span", { class: "tag" }, "batch"));
    what.style.paddingLeft = `${Math.min(span.depth, 14) * 14}px`;
    const row = h("button", { type: "button", class: `row ${span.is_error ? "failed" : ""} ${span.batch ? "batch" : ""}`, "aria-expanded": "false", "data-service": span.service, "data-kind": span.kind },
      what, h("span", { class: "track" }, line), h("span", { class: "right dim" }, duration(span.duration_us)));
    row.addEventListener("click", () => {
      const isOpen = row.getAttribute("aria-expanded") === "true";
      row.setAttribute("aria-expanded", String(!isOpen));
      if (isOpen) row.nextElementSibling.remove();
      else row.after(spanDetail(span));
    });
    return row;
  });
  show(h("p", {}, h("a", { href: "#/traces" }, "← Traces")),
    h("h1", {}, found.name),
    h("p", { class: "lead" }, h("code", {}, found.id), ` · ${new Date(found.started_ms).toLocaleString()} · ${duration(found.duration_us)} · ${number(found.spans.length)} spans`),
    h("div", { class: "bar" }, h("span", { class: "chips grow" }, found.services.map(chip)), batches > 0 && batchesButton(batches)),
    found.missing > 0 && h("p", { class: "note" }, `${number(found.missing)} further spans are not shown.`),
    h("div", { class: "card fall" }, h("div", { class: "ruler" }, h("span", {}, "Span"), h("span", { class: "ticks" }, ticks), h("span", { class: "right" }, "Duration")), rows));
}

/** A batch works for several requests, so what is below it may concern others too. */
function batchesButton(count) {
  const label = (isShown) => `${isShown ? "Hide" : "Show"} ${number(count)} spans of batches`;
  const button = h("button", { type: "button", class: "quiet" }, label(true));
  button.addEventListener("click", () => {
    const isHidden = page.querySelector(".fall").classList.toggle("alone");
    button.textContent = label(!isHidden);
  });
  return button;
}

/** Attributes that libraries add about their own code come last. */
const INNER = /^(code\.|thread\.|busy_ns$|idle_ns$|target$)/;

function spanDetail(span) {
  const pairs = (list) => h("dl", {}, list.map(([key, value]) => [h("dt", {}, key), h("dd", {}, value)]));
  const own = span.attributes.filter(([key]) => !INNER.test(key));
  const inner = span.attributes.filter(([key]) => INNER.test(key));
  return h("div", { class: "detail" },
    span.message && h("p", { class: "bad" }, span.message),
    span.batch && h("p", {}, "This span worked for several traces at once. ", h("a", { href: `#/trace/${span.batch}` }, "Open its own trace")),
    pairs([["starts after", duration(span.start_us)], ["kind", span.kind], ["span id", span.id], ...own]),
    span.events.map((event) => h("div", {}, h("b", {}, `${duration(event.at_us)}: ${event.name}`), pairs(event.attributes.filter(([key]) => !INNER.test(key))))),
    inner.length > 0 && h("details", {}, h("summary", { class: "dim" }, "Code and threads"), pairs(inner)));
}

// === Metrics ===

function metricsPage() {
  const grid = h("div", { class: "grid" });
  const refresh = async () => {
    const figures = await get("/api/metrics");
    grid.replaceChildren(...figures.map(figureCard));
    if (!figures.length) grid.replaceChildren(empty("Reading…"));
  };
  show(h("h1", {}, "Metrics"), h("p", { class: "lead" }, "From each process's ", h("code", {}, "/metrics"), ", read every 2 s while somebody looks. Rates are those of the last 10 s, durations and curves of the last 2 min."), grid);
  return { refresh };
}

function figureCard(figure) {
  const top = Math.max(1, ...figure.history);
  const points = figure.history.map((value, at) => [(at / Math.max(1, figure.history.length - 1)) * 100, 40 - (value / top) * 38]);
  const path = points.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`).join("");
  const ms = (value) => (value === null ? "–" : duration(Math.round(value * 1000)));
  const rows = [
    ["errors", figure.error_rate === null ? "–" : `${number(figure.error_rate * 100, 1)} %`, figure.error_rate > 0],
    ["p50", ms(figure.p50_ms)], ["p99", ms(figure.p99_ms)],
    ["in progress", number(figure.active)], ["memory", `${number(figure.memory_bytes / 1048576)} MiB`],
    figure.outbox !== null && ["outbox", `${number(figure.outbox)} facts`, figure.outbox > 1000],
    figure.lag !== null && ["consumers behind", `${number(figure.lag)} facts, ${number(figure.lag_age_s, 1)} s`],
    figure.parked !== null && ["parked keys", number(figure.parked), figure.parked > 0],
    figure.stopped !== null && ["stopped keys", number(figure.stopped), figure.stopped > 0],
    figure.stuck !== null && ["stuck sagas", number(figure.stuck), figure.stuck > 0],
  ].filter(Boolean);
  return h("section", { class: "card figure", hue: figure.name, "data-process": figure.name },
    h("h3", {}, figure.name),
    h("div", { class: "big" }, number(figure.requests_per_s, 1), h("small", {}, " requests/s")),
    svg("svg", { viewBox: "0 0 100 42", preserveAspectRatio: "none", "aria-hidden": "true" },
      points.length > 1 && [svg("path", { class: "area", d: `${path}L100 42L0 42Z` }), svg("path", { class: "curve", d: path })]),
    figure.problem && h("p", { class: "bad" }, figure.problem),
    h("dl", {}, rows.map(([name, value, isBad]) => [h("dt", {}, name), h("dd", { class: isBad ? "bad" : "" }, value)])));
}

// === Facts ===

function factsPage() {
  const body = h("tbody");
  const counts = new Map();
  const sums = h("div", { class: "chips bar" });
  const note = h("p", { class: "note", hidden: true });
  const list = h("div", { class: "card" }, empty("Waiting for facts."));
  const table = h("table", { class: "stack" }, h("thead", {}, h("tr", {}, ["Time", "Fact", "Aggregate", "Key"].map((name) => h("th", {}, name)), h("th", { class: "right" }, "Version"), h("th", {}, ""))), body);
  let left = 0;
  let isFirst = true;
  const add = (found) => {
    left += found.skipped;
    for (const fact of found.facts) {
      counts.set(fact.type, (counts.get(fact.type) || 0) + 1);
      body.prepend(h("tr", { class: isFirst ? "" : "new", "data-type": fact.type },
        h("td", { class: "dim time" }, clock(fact.at)),
        h("td", { class: "name wide" }, short(fact.type), h("div", { class: "why mono" }, fact.type)),
        h("td", {}, chip(fact.context), " ", fact.aggregate),
        h("td", { class: "wide", title: fact.subject }, h("code", {}, fact.key)),
        h("td", { class: "right", "data-label": "version" }, fact.version),
        h("td", { class: "right" }, fact.trace && h("a", { href: `#/trace/${fact.trace}` }, "Trace"))));
    }
    while (body.childElementCount > MAX_FACTS) body.lastElementChild.remove();
    isFirst = false;
    sums.replaceChildren(...[...counts].sort().map(([type, count]) => h("span", { class: "tag", title: type }, `${short(type)} ${number(count)}`)),
      left ? h("span", { class: "tag" }, `${number(left)} more came too fast to show`) : "");
    if (body.childElementCount) list.replaceChildren(table);
  };
  show(h("h1", {}, "Facts"), h("p", { class: "lead" }, "What the services publish, as it happens: subject, key, type and version. Payloads stay in the broker."), note, sums, list);
  return {
    topic: "topic=facts",
    facts: add,
    trouble: (message) => { note.hidden = !message; note.textContent = message || ""; },
    opened: () => { body.replaceChildren(); counts.clear(); left = 0; isFirst = true; },
  };
}

// === The desk ===

function deskPage() {
  const content = h("div", {}, empty("Loading…"));
  let last = "";
  const refresh = async () => {
    const found = await get("/api/desk");
    // A page that is redrawn would close what somebody has just opened.
    const now = JSON.stringify([found.parked, found.stopped, found.stuck, found.acts, found.problems]);
    if (now === last) return;
    last = now;
    content.replaceChildren(...drawDesk(found, () => { last = ""; return refresh(); }));
  };
  show(h("h1", {}, "Desk"), h("p", { class: "lead" }, "What waits for a decision. Buttons need the operator's token; every act, and every reading of a payload, is recorded below."), content);
  return { refresh, pace: 2 * REFRESH };
}

/** Shows how much waits for a decision. The figures cost the mesh less than the lists. */
function countDesk(figures) {
  const count = figures.reduce((sum, figure) => sum + figure.parked + figure.stopped + figure.stuck, 0);
  const element = document.getElementById("desk-count");
  element.hidden = count === 0;
  element.textContent = number(count);
}

function drawDesk(found, reload) {
  const section = (title, hint, entries, draw, none) => [
    h("h2", {}, title, h("small", {}, hint)),
    h("div", { class: "card" }, entries.length ? entries.map(draw) : h("div", { class: "empty none" }, none))];
  const rows = (names, entries, draw, none) => h("div", { class: "card" }, entries.length
    ? h("table", { class: "stack" }, h("thead", {}, h("tr", {}, names.map((name) => h("th", {}, name)))), h("tbody", {}, entries.map(draw))) : empty(none));
  return [
    found.problems.map((problem) => h("p", { class: "note" }, problem)),
    section("Parked keys", "an event could not be applied; later ones of its key wait", found.parked, (key) => parkedEntry(key, reload), "No key is parked."),
    section("Stopped keys", "facts are not published: the stream disagrees", found.stopped, (key) => stoppedEntry(key, reload), "No key is stopped."),
    section("Stuck sagas", "no retry helps any more", found.stuck, (saga) => stuckEntry(saga, reload), "No saga is stuck."),
    h("h2", {}, "Consumers", h("small", {}, "how far each is behind its stream")),
    rows(["Consumer", "Service", "Pending", "In progress", "Parked keys"], found.consumers, (entry) => h("tr", {},
      h("td", { class: "name" }, entry.consumer), h("td", {}, chip(entry.service)), h("td", { "data-label": "pending" }, entry.pending || "0"),
      h("td", { "data-label": "in progress" }, entry.inProgress || "0"), h("td", { "data-label": "parked" }, entry.parkedKeys || "0")), "No consumers."),
    h("h2", {}, "Acts", h("small", {}, "what operators did, the latest first")),
    rows(["Time", "Operator", "Act", "Of", "Outcome"], [...found.acts].sort((one, other) => (other.begunAt || "").localeCompare(one.begunAt || "")), (act) => h("tr", {},
      h("td", { class: "dim time" }, clock(act.begunAt)), h("td", {}, act.operator), h("td", { class: "name" }, act.action),
      h("td", { class: "wide" }, chip(act.service), " ", act.scope, " ", h("code", {}, act.key), act.reason && h("div", { class: "why" }, act.reason)),
      h("td", { class: "wide" }, act.outcome)), "Nobody has acted."),
  ].flat(9);
}

function entry(data, top, reason, buttons) {
  return h("div", { class: "entry", ...data }, h("div", { class: "top" }, top), h("div", { class: "reason" }, reason), h("div", { class: "buttons" }, buttons));
}

const button = (label, act, look) => h("button", { type: "button", class: look || "", "data-act": label, onclick: act }, label);

function parkedEntry(key, reload) {
  const base = { consumer: key.consumer, key: key.key };
  const offer = (title, hint, act, extra, options) => () => decide({ title, hint, service: key.service, act, message: { ...base, ...extra }, tell: replayed, reload, ...options });
  const element = entry({ "data-key": key.key }, [chip(key.service), h("b", {}, key.key), h("span", { class: "dim" }, `${key.consumer} · ${key.context}.${key.aggregate} · version ${key.version} · ${number(Number(key.waiting))} waiting · ${several(key.attempts || 0, "attempt")} · since ${clock(key.parkedAt)}`)],
    [h("span", { class: "mono" }, key.type), ": ", key.reason], [
      button("Replay", offer(`Replay ${key.key}`, "Applies its events in order, after the cause is mended.", "parked:replay", {}, { dryRun: true }), "primary"),
      button("Skip", offer(`Skip what is missing before version ${key.version}`, "Goes past versions that will never come, and replays from there.", "parked:skip", { version: key.version }, { reason: true })),
      button("Discard", offer(`Discard version ${key.version} of ${key.key}`, "Drops this event for ever, and replays those after it.", "parked:discard", { version: key.version }, { reason: true, danger: true }), "danger"),
      button("Show payloads", () => payloads(element, key.service, "parked", key.consumer, key.key), "quiet")]);
  return element;
}

function stoppedEntry(key, reload) {
  const offer = (title, hint, resolution, options) => () => decide({ title, hint, service: key.service, act: "stopped:resume", message: { context: key.context, key: key.key, resolution }, tell: () => "Decided; the relay carries it out within a second.", reload, reasonIsOptional: true, reason: true, ...options });
  const element = entry({ "data-key": key.key }, [chip(key.service), h("b", {}, key.key), h("span", { class: "dim" }, `${key.context}.${key.aggregate} · version ${key.version} · ${number(Number(key.waiting))} waiting · since ${clock(key.stoppedAt)}`)],
    [h("span", { class: "tag" }, key.cause), " ", key.reason], [
      button("Retry", offer(`Publish ${key.key} again`, "After the cause is mended.", "RESOLUTION_RETRY"), "primary"),
      button("Renumber", offer(`Renumber ${key.key}`, "Keeps what the stream has, and appends the waiting facts with new versions.", "RESOLUTION_RENUMBER")),
      button("Discard", offer(`Discard version ${key.version} of ${key.key}`, "Drops the first waiting fact; those after it move up.", "RESOLUTION_DISCARD", { reasonIsOptional: false, danger: true }), "danger"),
      button("Show payloads", () => payloads(element, key.service, "stopped", key.context, key.key), "quiet")]);
  return element;
}

function stuckEntry(saga, reload) {
  const base = { name: saga.name, sagaId: saga.sagaId };
  return entry({ "data-key": saga.sagaId }, [chip(saga.service), h("b", {}, `${saga.name} ${saga.sagaId}`), h("span", { class: "dim" }, `key ${saga.key} · at ${saga.step} · ${several(saga.attempts || 0, "attempt")} · since ${clock(saga.changedAt)}`)],
    saga.problem, [
      button("Resume", () => decide({ title: `Resume ${saga.name}`, hint: "Takes its step again, after the cause is mended.", service: saga.service, act: "stuck:resume", message: base, reason: true, reasonIsOptional: true, tell: () => "Resumed; its step is taken again now.", reload }), "primary"),
      button("Give up", () => decide({ title: `Give up ${saga.step}`, hint: "A step on the way forward is compensated; a compensation counts as done.", service: saga.service, act: "stuck:giveUp", message: { ...base, step: saga.step }, reason: true, dryRun: true, danger: true, tell: (done) => (done.nextStep ? `The saga goes on at ${done.nextStep}.` : "The saga ends."), reload }), "danger")]);
}

function replayed(done) {
  const replay = done.replay || {};
  const applied = `${number(Number(replay.applied || 0))} applied`;
  return Number(replay.failedVersion) ? `${applied}; version ${replay.failedVersion} failed: ${replay.reason}` : `${applied}; nothing is left.`;
}

/** Asks for a decision, tries it first where that is possible, and carries it out. */
async function decide({ title, hint, service, act, message, reason, reasonIsOptional, dryRun, danger, tell, reload }) {
  // Before the dialog of the decision, which it would replace.
  if (!sessionStorage.getItem(TOKEN) && !(await askToken())) return;
  await ask((done) => {
    const why = h("textarea", { rows: 2, maxlength: 1000, name: "reason" });
    const said = h("p", { class: "note", hidden: true });
    const tellHere = (text) => { said.hidden = false; said.textContent = text; };
    const buttons = [];
    const send = async (isTrial) => {
      const text = why.value.trim();
      if (reason && !reasonIsOptional && !text) return tellHere("Say why that is right; the audit keeps it.");
      buttons.forEach((one) => { one.disabled = true; });
      try {
        const answer = await post("/api/desk/act", { service, act, message: { ...message, ...(reason && text && { reason: text }), ...(isTrial && { dryRun: true }) } });
        if (isTrial) tellHere(`Tried, and rolled back: ${tell(answer)}`);
        else {
          notice(tell(answer));
          done(true);
          await reload();
        }
      } catch (error) {
        tellHere(error.message);
      }
      buttons.forEach((one) => { one.disabled = false; });
    };
    const cancel = h("button", { type: "button", onclick: () => done() }, "Cancel");
    const go = h("button", { type: "button", class: danger ? "danger" : "primary", "data-go": true, onclick: () => send(false) }, title.split(" ")[0] === "Give" ? "Give up" : title.split(" ")[0]);
    buttons.push(cancel, go);
    if (dryRun) buttons.splice(1, 0, h("button", { type: "button", "data-try": true, onclick: () => send(true) }, "Try first"));
    return [h("h2", {}, title), h("p", { class: "dim" }, hint), reason && h("label", {}, reasonIsOptional ? "Reason (may be empty)" : "Reason", why), said, h("div", { class: "buttons" }, buttons)];
  });
}

async function payloads(element, service, list, scope, key) {
  const open = element.querySelector(".payload");
  if (open) return open.remove();
  try {
    const found = await post("/api/desk/show", { service, list, scope, key });
    const text = (found.facts || []).map((fact) => `version ${fact.version}, ${fact.type}${fact.reason ? `: ${fact.reason}` : ""}\n${fact.payload ? JSON.stringify(fact.payload, null, 2) : `unreadable, in base64: ${fact.rawPayload}`}`);
    element.append(h("pre", { class: "payload" }, text.join("\n\n"), found.truncated ? "\n\nThere are more." : ""));
  } catch (error) {
    notice(error.message, true);
  }
}

// === Routes ===

const PAGES = { processes: processesPage, logs: logsPage, traces: tracesPage, trace: tracePage, metrics: metricsPage, facts: factsPage, desk: deskPage };

function navigate(name, filters) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value));
  location.hash = `#/${name}${query.size ? `?${query}` : ""}`;
}

async function route() {
  const [path, query] = location.hash.replace(/^#\//, "").split("?");
  const [name, id] = path.split("/");
  const build = PAGES[name] || processesPage;
  for (const link of document.querySelectorAll("nav a")) {
    const own = link.getAttribute("href").slice(2);
    const isShown = own === name || (own === "traces" && name === "trace") || (own === "processes" && !PAGES[name]);
    if (isShown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${name && PAGES[name] ? name[0].toUpperCase() + name.slice(1) : "Processes"} · Mesh`;
  view = await build(name === "trace" ? id : new URLSearchParams(query));
  follow();
  refresh();
}

async function refresh() {
  clearTimeout(timer);
  const current = view;
  try {
    if (!document.hidden) await current.refresh?.();
  } catch (error) {
    if (current === view && !page.querySelector(".note.lost")) page.prepend(h("p", { class: "note lost" }, error.message));
    timer = setTimeout(refresh, REFRESH);
    return;
  }
  page.querySelector(".note.lost")?.remove();
  if (current === view) timer = setTimeout(refresh, current.pace || REFRESH);
}

async function begin() {
  showToken();
  mesh = await get("/api/mesh").catch(() => ({}));
  processes = await get("/api/processes").catch(() => []);
  await route();
  addEventListener("hashchange", route);
  document.addEventListener("visibilitychange", () => { follow(); refresh(); });
  const look = () => document.hidden || get("/api/metrics").then(countDesk, () => {});
  look();
  setInterval(look, 5000);
}

begin();
