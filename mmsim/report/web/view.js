// SPDX-License-Identifier: GPL-2.0-only
// The story of a run, drawn.  `tell(story)` takes the data that report/page.py wrote; `go(i)` shows the
// moment after i steps (0: before the first).  The player (play.js) tells a new story after each move.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
function el(tag, props, ...kids) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(props || {})) {
    if (k === "class") e.className = v;
    else if (k in e && typeof v !== "string") e[k] = v;
    else e.setAttribute(k, v);
  }
  e.append(...kids.filter((kid) => kid !== null && kid !== undefined && kid !== ""));
  return e;
}
function svg(tag, props, text) {
  const e = document.createElementNS(SVG, tag);
  for (const [k, v] of Object.entries(props)) e.setAttribute(k, v);
  if (text) e.textContent = text;
  return e;
}
/** Of a sorted list of step numbers: how many are not above i. */
function upto(list, i) {
  let low = 0, high = list.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (list[mid] <= i) low = mid + 1; else high = mid;
  }
  return low;
}

let S = null;      // the story
let at = 0;        // the moment shown
let frame = {};    // context -> frame of its stack that is shown, if not the innermost
let pending = {};  // context -> what it does next, when the story does not tell (the player's)
const onGo = [];

const READS = new Set(["read", "read-once", "load-acquire"]);
const WRITES = new Set(["write", "write-once", "store-release"]);
const SHAPES = [
  ["read", "reads"], ["write", "writes"], ["rmw", "atomic"], ["lock", "takes a lock"],
  ["unlock", "drops a lock"], ["irq-off", "interrupts off"], ["irq-on", "interrupts on"],
  ["irq-enter", "interrupt comes in"], ["irq-exit", "interrupt returns"], ["spin", "finds a lock taken"],
  ["sleep", "sleeps"], ["wake", "wakes"], ["exit", "ends"], ["other", "else"],
];
function shapeOf(kind) {
  if (READS.has(kind)) return "read";
  if (WRITES.has(kind)) return "write";
  if (kind.startsWith("rmw")) return "rmw";
  if (kind === "down" || kind === "trylock") return "lock";
  if (kind === "up") return "unlock";
  return SHAPES.some(([name]) => name === kind) ? kind : "other";
}
function glyph(shape, x, y, extra) {
  const cls = `mark ${extra || ""}`;
  const path = (d, full) => svg("path", { d, class: cls + (full ? " full" : "") });
  switch (shape) {
    case "read": return svg("circle", { cx: x, cy: y, r: 3.2, class: cls });
    case "write": return svg("circle", { cx: x, cy: y, r: 3.4, class: cls + " full" });
    case "rmw": return path(`M${x} ${y - 4.6}l4.6 4.6l-4.6 4.6l-4.6 -4.6z`, true);
    case "lock": return path(`M${x - 3.6} ${y - 3.6}h7.2v7.2h-7.2z`, true);
    case "unlock": return path(`M${x - 3.6} ${y - 3.6}h7.2v7.2h-7.2z`);
    case "irq-off": return path(`M${x - 4} ${y - 3.4}h8l-4 7z`);
    case "irq-on": return path(`M${x - 4} ${y + 3.4}h8l-4 -7z`);
    case "irq-enter": return path(`M${x - 4} ${y - 3.4}h8l-4 7z`, true);
    case "irq-exit": return path(`M${x - 4} ${y + 3.4}h8l-4 -7z`, true);
    case "spin": return path(`M${x - 3.4} ${y - 3.4}l6.8 6.8m0 -6.8l-6.8 6.8`);
    case "sleep": return path(`M${x - 2} ${y - 4}v8m4 -8v8`);
    case "wake": return path(`M${x - 4} ${y}h8m-4 -4v8`);
    case "exit": return path(`M${x} ${y - 4}v8`);
    default: return path(`M${x - 3} ${y}h6`);
  }
}

/** Take a story in: indexes by context, by CPU, by thing; spans of locks and of interrupts off. */
function tell(data) {
  S = data;
  const n = S.steps.ctx.length;
  S.n = n;
  S.byCtx = S.contexts.map(() => []);
  S.byCpu = Array.from({ length: S.cpus }, () => []);
  S.onCpu = Array.from({ length: S.cpus }, () => [[0, []]]);
  S.states = S.things.map((thing) => ({ at: [0], state: [thing.first] }));
  S.held = []; S.irqoff = Array.from({ length: S.cpus }, () => []); S.irqs = Array.from({ length: S.cpus }, () => []);
  const open = S.contexts.map(() => new Map());
  const off = new Array(S.cpus).fill(0);
  const stack = Array.from({ length: S.cpus }, () => []);
  S.switches = [];
  let last = -1;
  for (let i = 1; i <= n; i++) {
    const c = S.steps.ctx[i - 1], cpu = S.contexts[c].cpu, kind = S.kinds[S.steps.kind[i - 1]];
    S.byCtx[c].push(i); S.byCpu[cpu].push(i);
    if (last >= 0 && c !== last) S.switches.push(i);
    last = c;
    if (kind === "irq-enter") { stack[cpu].push([c, i]); S.onCpu[cpu].push([i, stack[cpu].map(([k]) => k)]); }
    if (kind === "irq-exit") {
      const [, from] = stack[cpu].pop() || [0, i];
      S.irqs[cpu].push([from, i]); S.onCpu[cpu].push([i, stack[cpu].map(([k]) => k)]);
    }
    const now = new Set(S.locksets[S.steps.locks[i - 1]]);
    for (const [lock, from] of [...open[c]]) if (!now.has(lock)) { S.held.push({ lock, cpu, from, to: i }); open[c].delete(lock); }
    for (const lock of now) if (!open[c].has(lock)) open[c].set(lock, i);
    if (S.steps.off[i - 1] && !off[cpu]) off[cpu] = i;
    if (!S.steps.off[i - 1] && off[cpu]) { S.irqoff[cpu].push([off[cpu], i]); off[cpu] = 0; }
    for (const [thing, state] of S.changes[i] || []) {
      const s = S.states[thing];
      if (s.at[s.at.length - 1] === i) s.state[s.state.length - 1] = state;
      else { s.at.push(i); s.state.push(state); }
    }
  }
  open.forEach((locks, c) => { for (const [lock, from] of locks) S.held.push({ lock, cpu: S.contexts[c].cpu, from, to: n + 1 }); });
  off.forEach((from, cpu) => { if (from) S.irqoff[cpu].push([from, n + 1]); });
  stack.forEach((s, cpu) => s.forEach(([, from]) => S.irqs[cpu].push([from, n + 1])));
  for (const list of S.irqs) list.sort((a, b) => a[0] - b[0]);
  S.lockNames = [...new Set(S.held.map((h) => h.lock))];
  S.windowAt = S.windows.map((w) => w.closed);
  $("at").max = n;
  ticks();
  rows();
  if ($("all").open) everyStep(); else $("all").querySelector("tbody").replaceChildren();
}

function ticks() {
  const where = (i) => `${S.n ? (100 * i) / S.n : 0}%`;
  const marks = S.windows.map((w) => el("i", { style: `left:${where(w.closed)}` }, "◇"));
  for (const f of S.findings) marks.push(el("i", { class: "boom", style: `left:${where(f.at)}` }, "✕"));
  $("ticks").replaceChildren(...marks.slice(-200));
}

function rows() {
  document.body.classList.toggle("many", S.cpus > 4);
  const list = $("rows");
  if (list.childElementCount !== S.cpus) {
    list.replaceChildren(...Array.from({ length: S.cpus }, (_, cpu) =>
      el("div", { class: "lane", id: `lane${cpu}` }, el("div", { class: "who" }), document.createElementNS(SVG, "svg"))));
  }
}

/** The context that owns a CPU after step i: the innermost interrupt, else who ran last. */
function ownerOf(cpu, i) {
  const seen = S.onCpu[cpu];
  let low = 0, high = seen.length;
  while (low < high) { const mid = (low + high) >> 1; if (seen[mid][0] <= i) low = mid + 1; else high = mid; }
  const irqs = seen[low - 1][1];
  if (irqs.length) return irqs[irqs.length - 1];
  for (let k = upto(S.byCpu[cpu], i) - 1; k >= 0; k--) {
    const c = S.steps.ctx[S.byCpu[cpu][k] - 1];
    if (S.contexts[c].kind === "task") return c;
  }
  const first = S.byCpu[cpu].find((k) => S.contexts[S.steps.ctx[k - 1]].kind === "task");
  if (first) return S.steps.ctx[first - 1];
  const any = S.contexts.findIndex((c) => c.cpu === cpu && c.kind === "task");
  if (any >= 0) return any;
  const irq = S.contexts.findIndex((c) => c.cpu === cpu);
  return irq;
}
function lastStep(c, i) { const k = upto(S.byCtx[c], i); return k ? S.byCtx[c][k - 1] : 0; }
function nextStep(c, i) { return S.byCtx[c][upto(S.byCtx[c], i)] || 0; }
function over(c, i) { const k = lastStep(c, i); return k > 0 && ["exit", "irq-exit"].includes(S.kinds[S.steps.kind[k - 1]]); }
function placeOf(i) { const stack = S.stacks[S.steps.stack[i - 1]]; return stack.length ? S.places[stack[0]] : null; }
function nameOf(c) { const w = S.contexts[c]; return `${w.comm}/${w.pid}`; }

function drawLanes() {
  const acting = at ? S.contexts[S.steps.ctx[at - 1]].cpu : -1;
  const width = Math.max(200, $("lane0").lastChild.clientWidth || 800);
  const dx = 13, count = Math.floor(width / dx);
  const from = Math.max(1, Math.min(at - Math.floor(count * 0.62), S.n - count + 1)), to = Math.min(S.n, from + count - 1);
  const X = (i) => (i - from) * dx + dx / 2;
  const focus = S.focus;
  const boom = new Set(S.findings.map((f) => f.at));
  const windows = S.windows.filter((w) => w.opened <= at && at <= w.closed);
  for (let cpu = 0; cpu < S.cpus; cpu++) {
    const lane = $(`lane${cpu}`);
    lane.classList.toggle("acting", cpu === acting);
    if (!document.body.classList.contains("play")) laneName(lane.firstChild, cpu);
    const pic = lane.lastChild, h = pic.clientHeight || 30, y = h / 2;
    const out = [];
    for (const w of windows) if (S.contexts[w.who].cpu === cpu)
      out.push(svg("rect", { class: "window", x: X(w.opened), width: Math.max(2, X(w.closed) - X(w.opened)), y: 0, height: h }));
    for (const [a, b] of S.irqs[cpu]) if (b >= from && a <= to)
      out.push(svg("rect", { class: "irqband", x: X(a) - dx / 2, width: X(Math.min(b, to)) - X(a) + dx, y: 3, height: h - 6, rx: 3 }));
    out.push(svg("line", { class: "axis", x1: 0, x2: width, y1: y, y2: y }));
    for (const [a, b] of S.irqoff[cpu]) if (b >= from && a <= to)
      out.push(svg("line", { class: "irqoff", x1: X(Math.max(a, from - 1)), x2: X(Math.min(b, to + 1)), y1: 4.5, y2: 4.5 }));
    let shelf = 0;
    for (const hold of S.held) {
      if (hold.cpu !== cpu || hold.to < from || hold.from > to) continue;
      const k = S.lockNames.indexOf(hold.lock), color = `var(--lock${k % 6})`;
      const x1 = X(Math.max(hold.from, from - 1)), x2 = X(Math.min(hold.to, to + 1)), yy = h - 4 - (shelf++ % 2) * 4.5;
      out.push(svg("line", { class: "held", x1, x2, y1: yy, y2: yy, stroke: color, "stroke-dasharray": ["none", "8 2", "3 2", "12 2 2 2", "2 2", "6 2 2 2"][k % 6] }));
    }
    for (let k = upto(S.byCpu[cpu], from - 1); k < S.byCpu[cpu].length && S.byCpu[cpu][k] <= to; k++) {
      const i = S.byCpu[cpu][k];
      const g = glyph(shapeOf(S.kinds[S.steps.kind[i - 1]]), X(i), y,
        `${i === at ? "now" : i > at ? "later" : ""} ${S.steps.obj[i - 1] === focus && focus >= 0 ? "focus" : ""}`);
      g.append(svg("title", {}, `${S.steps.n[i - 1]}  ${S.strings[S.steps.text[i - 1]]}`));
      out.push(g);
      if (boom.has(i)) out.push(svg("path", { class: "boom", d: `M${X(i) - 6} ${y - 6}l12 12m0 -12l-12 12` }));
    }
    const cursor = at ? X(at) : 1;
    out.push(svg("line", { class: "cursor", x1: cursor, x2: cursor, y1: 0, y2: h }));
    pic.setAttribute("aria-hidden", "true");
    pic.replaceChildren(...out);
    pic.onclick = (event) => go(Math.round((event.offsetX - dx / 2) / dx) + from);
  }
}

function laneName(box, cpu) {
  const c = ownerOf(cpu, at);
  const kids = [el("b", {}, `CPU${cpu}`)];
  if (c < 0) kids.push(el("span", {}, "idle"));
  else {
    const w = S.contexts[c];
    if (w.kind !== "task") kids.push(el("span", { class: "irq" }, w.kind));
    kids.push(el("span", {}, nameOf(c)));
    const gone = over(c, at);
    if (gone && w.kind === "task") kids.push(el("span", {}, "· ended"));
  }
  box.replaceChildren(...kids);
}

function drawNow() {
  const sentence = $("sentence"), place = $("place"), note = $("note");
  if (!at) {
    sentence.replaceChildren(el("span", { class: "n" }, "start"), S.n ? "Before the first step" : "Nothing has happened yet");
    place.textContent = ""; note.textContent = "";
    return;
  }
  sentence.replaceChildren(el("span", { class: "n" }, `step ${S.steps.n[at - 1]} of ${S.steps.n[S.n - 1]}`), S.strings[S.steps.text[at - 1]]);
  const p = placeOf(at);
  place.replaceChildren();
  if (p) {
    const f = S.functions[p[0]];
    place.append(el("code", {}, f.symbol), f.source ? `  ${f.source} of the kernel, ` : "  ", `${f.path}:${p[1]}`);
    const held = S.locksets[S.steps.locks[at - 1]];
    place.append(held.length ? `  ·  holds ${held.join(", ")}` : "  ·  holds no lock");
    if (S.steps.off[at - 1]) place.append("  ·  interrupts off");
  }
  note.replaceChildren();
  const hit = S.findings.find((f) => f.at === at);
  const w = S.windows.find((x) => x.closed === at) || S.windows.filter((x) => x.inside.includes(at)).pop();
  if (hit) note.append(el("b", {}, `✕ ${hit.title}`));
  else if (w) {
    note.append(el("b", {}, "◇ Window. "), w.closed === at
      ? `${nameOf(w.who)} last looked at step ${S.steps.n[w.opened - 1]}; meanwhile it was changed ${w.inside.length === 1 ? "once" : w.inside.length + " times"}. `
      : `${nameOf(w.who)} is between step ${S.steps.n[w.opened - 1]} and step ${S.steps.n[w.closed - 1]}, and the page changes under it. `,
      w.race ? `${w.function}: ${w.race}` : "");
  }
}

const KEYWORDS = /^(?:and|as|assert|break|class|continue|def|elif|else|except|finally|for|from|if|import|in|is|lambda|not|or|pass|raise|return|while|with|True|False|None)$/;
function paint(text) {
  const out = [];
  for (const [tok] of text.matchAll(/#.*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|@\w+|\w+|\s+|[^\w\s]/g)) {
    const cls = tok[0] === "#" ? "tok-c" : tok[0] === '"' || tok[0] === "'" ? "tok-s" : tok[0] === "@" && tok.length > 1 ? "tok-c" : KEYWORDS.test(tok) ? "tok-k" : "";
    out.push(cls ? el("span", { class: cls }, tok) : tok);
  }
  return out;
}

/** CPUs whose code is shown: who acts, who is in the same window, who has to do with the page, who acted last. */
function shown() {
  const width = $("code").clientWidth || 900;
  const most = Math.max(1, Math.min(4, Math.floor(width / 400)));
  if (S.cpus <= most) return Array.from({ length: S.cpus }, (_, k) => k);
  const want = [];
  const add = (cpu) => { if (want.length < most && !want.includes(cpu)) want.push(cpu); };
  if (at) add(S.contexts[S.steps.ctx[at - 1]].cpu);
  for (const w of S.windows) if (w.closed === at || w.inside.includes(at))
    [w.closed, ...w.inside].forEach((i) => add(S.contexts[S.steps.ctx[i - 1]].cpu));
  const lives = (cpu) => { const c = ownerOf(cpu, at); return c >= 0 && !over(c, at); };
  S.pinned.filter(lives).forEach(add);
  for (let i = at; i > 0 && want.length < most; i--) { const cpu = S.contexts[S.steps.ctx[i - 1]].cpu; if (lives(cpu)) add(cpu); }
  S.pinned.forEach(add);
  for (let i = at; i > 0 && want.length < most; i--) add(S.contexts[S.steps.ctx[i - 1]].cpu);
  for (let cpu = 0; cpu < S.cpus; cpu++) add(cpu);
  return want.sort((a, b) => a - b);
}

function drawCode() {
  const acting = at ? S.contexts[S.steps.ctx[at - 1]].cpu : -1;
  const box = $("code");
  const cpus = shown();
  while (box.childElementCount > cpus.length) box.lastChild.remove();
  while (box.childElementCount < cpus.length)
    box.append(el("section", { class: "pane" }, el("div", { class: "head" }), el("div", { class: "stack" }), el("div", { class: "lines", tabIndex: 0, role: "region" }), el("div", { class: "state" })));
  cpus.forEach((cpu, k) => drawPane(box.children[k], cpu, cpu === acting));
}

function drawPane(pane, cpu, acting) {
  const c = ownerOf(cpu, at);
  const [head, stackBox, lines, state] = pane.children;
  pane.classList.toggle("acting", acting);
  pane.setAttribute("aria-label", `CPU${cpu}`);
  lines.setAttribute("aria-label", `Code of CPU${cpu}`);
  if (c < 0) {
    head.replaceChildren(el("b", {}, `CPU${cpu}`), "idle"); stackBox.replaceChildren(); lines.replaceChildren(); state.replaceChildren("nothing runs here"); lines.dataset.f = "";
    return;
  }
  const done = lastStep(c, at), next = pending[c] || null;
  const ahead = next ? null : nextStep(c, at);
  let doneStack = done ? S.stacks[S.steps.stack[done - 1]] : [];
  if (done && !doneStack.length) { // came in, or ended: what it did before
    const before = lastStep(c, done - 1);
    if (before && over(c, at)) doneStack = S.stacks[S.steps.stack[before - 1]];
  }
  const nextStack = next ? next.stack : ahead ? S.stacks[S.steps.stack[ahead - 1]] : [];
  const live = (at === done && doneStack.length) || !nextStack.length ? doneStack : nextStack;
  const w = S.contexts[c];
  head.replaceChildren(el("b", {}, `CPU${cpu}`), `${nameOf(c)}${w.kind === "task" ? "" : ` (${w.kind})`}`);
  if (!live.length) {
    stackBox.replaceChildren(); lines.replaceChildren(); lines.dataset.f = "";
    state.replaceChildren(done ? "has ended" : "has not begun");
    return;
  }
  const depth = Math.min(frame[c] || 0, live.length - 1);
  const [fn, line] = S.places[live[depth]];
  const f = S.functions[fn];
  head.append(el("span", { class: "file", title: `${f.path}:${line}` }, f.source || f.path));
  stackBox.title = live.map((p) => S.functions[S.places[p][0]].symbol).join(" ← ");
  stackBox.replaceChildren(el("b", {}, f.symbol), ...live.slice(depth + 1).map((p) => ` ← ${S.functions[S.places[p][0]].symbol}`));
  const key = `${fn}`;
  if (lines.dataset.f !== key) {
    lines.dataset.f = key;
    const text = f.code.split("\n");
    lines.replaceChildren(...text.flatMap((row, k) => {
      const nr = f.first + k;
      if (f.doc && nr > f.doc[0] && nr <= f.doc[1]) return [];
      const doc = f.doc && nr === f.doc[0];
      const shownRow = doc && f.doc[1] > f.doc[0] ? `${row.trimEnd()} …"""` : row;
      const rest = doc ? [el("span", { class: "tok-d" }, shownRow)] : paint(row);
      return [el("div", { "data-l": String(nr) }, el("span", { class: "nr" }, String(nr)), el("span", { class: "g" }), ...rest)];
    }));
  }
  const spot = (stack) => {
    const p = stack.length && S.places[stack[Math.min(depth, stack.length - 1)]];
    return p && p[1] === f.first ? [p[0], f.def] : p; // not begun: the line that names it, no decorator
  };
  const here = spot(doneStack), there = spot(nextStack);
  let target = null;
  for (const row of lines.children) {
    const nr = Number(row.dataset.l);
    const isHere = here && here[0] === fn && nr === here[1], isNext = there && there[0] === fn && nr === there[1];
    row.className = `${isHere ? "here" : ""} ${isNext ? "next" : ""}`;
    row.children[1].textContent = isHere && isNext ? "◈" : isHere ? "●" : isNext ? "▷" : "";
    if (isNext && (document.body.classList.contains("play") || !target)) target = row;
    if (isHere && !document.body.classList.contains("play")) target = row;
  }
  if (target) lines.scrollTop = Math.max(0, target.offsetTop - lines.clientHeight / 2 + 10);
  lines.scrollLeft = 0;
  state.replaceChildren();
  if (next && next.text) state.append(el("b", {}, "next "), next.text);
  else if (ahead) state.append(el("b", {}, "next "), S.strings[S.steps.text[ahead - 1]].replace(/^CPU\d+ \S+( \(\w+\))? /, ""));
  else state.append(over(c, at) ? "has ended" : "goes no further in this run");
}

function thing(k, i) {
  const s = S.states[k];
  const pos = upto(s.at, i) - 1;
  return { now: S.thingStates[s.state[pos]], was: pos > 0 && s.at[pos] === i ? S.thingStates[s.state[pos - 1]] : null };
}
function drawMemory() {
  const box = $("memory");
  const pages = [], others = [];
  S.things.forEach((t, k) => (t.page ? pages : others).push(k));
  pages.sort((a, b) => (b === S.focusThing) - (a === S.focusThing) || a - b);
  const table = (caption, head, keys, row) => keys.length ? el("table", {}, el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...head.map((h) => el("th", { scope: "col" }, h)))), el("tbody", {}, ...keys.map(row))) : null;
  const pageTable = table("Pages", ["frame", "count", "flags, lists"], pages, (k) => {
    const { now, was } = thing(k, at);
    const field = (name) => (now.fields.find((x) => x[0] === name) || [0, ""])[1];
    const old = (name) => was && (was.fields.find((x) => x[0] === name) || [0, ""])[1];
    const count = field("count") || field("refcount"), before = was && (old("count") || old("refcount"));
    const flags = now.flags.map((f) => el("span", { class: "flag" + (was && !was.flags.includes(f) ? " new" : "") }, f));
    if (was) for (const f of was.flags) if (!now.flags.includes(f)) flags.push(el("span", { class: "flag gone" }, f));
    const sub = [];
    const mapped = Number(field("mapcount"));
    if (mapped > 0) sub.push(`mapped ${mapped}×`); else if (mapped < 0) sub.push(`mapcount ${mapped}`);
    if (field("mapping")) sub.push(`of ${field("mapping")}`);
    sub.push(now.lists.length ? `on ${now.lists.join(" and ")}` : "on no list");
    return el("tr", { class: `${was ? "changed" : ""} ${k === S.focusThing ? "focus" : ""}` },
      el("th", { scope: "row" }, S.things[k].name.replace(/^pfn:0*(?=.)/, "0x")),
      el("td", { class: "num" + (was && before !== count ? " new" : "") }, was && before !== count ? `${before}→${count}` : count),
      el("td", {}, now.state ? el("span", { class: "free" }, now.state) : "", now.state ? " " : "", ...flags, el("div", { class: "sub" }, sub.join(" · "))));
  });
  const changed = others.filter((k) => S.states[k].at.length > 1).slice(0, 40);
  const otherTable = table("Other", ["object", "fields", ""], changed, (k) => {
    const { now, was } = thing(k, at);
    return el("tr", { class: was ? "changed" : "" }, el("th", { scope: "row" }, S.things[k].name),
      el("td", { class: "sub" }, now.fields.slice(0, 6).map(([a, b]) => `${a} ${b || "—"}`).join(" · ")), el("td", {}));
  });
  const top = box.scrollTop;
  box.replaceChildren(...[pageTable, otherTable].filter(Boolean));
  box.scrollTop = top;
}

function everyStep() {
  const body = $("all").querySelector("tbody");
  body.replaceChildren(...Array.from({ length: S.n }, (_, k) => {
    const p = placeOf(k + 1), f = p && S.functions[p[0]];
    return el("tr", { id: `s${k + 1}` }, el("td", {}, String(S.steps.n[k])), el("td", {}, S.strings[S.steps.text[k]]),
      el("td", {}, p ? el("code", {}, `${f.symbol}:${p[1]}`) : ""), el("td", {}, f ? f.source : ""), el("td", {}, S.locksets[S.steps.locks[k]].join(", ")));
  }));
}

/** Show the moment after step i. */
function go(i) {
  at = Math.max(0, Math.min(S.n, i));
  $("at").value = at;
  $("at").setAttribute("aria-valuetext", at ? S.strings[S.steps.text[at - 1]] : "before the first step");
  drawNow(); drawLanes(); drawCode(); drawMemory();
  document.querySelectorAll("#all tr.here").forEach((r) => r.classList.remove("here"));
  const row = $(`s${at}`);
  if (row) row.classList.add("here");
  onGo.forEach((f) => f());
}
const after = (list) => list.find((i) => i > at) ?? S.n;
const before = (list) => list.filter((i) => i < at).pop() ?? 0;
const MOVES = [
  ["first", "⇤", "First", ["Home"], () => go(0)],
  ["prev-switch", "≪", "Switch before", ["S"], () => go(before(S.switches))],
  ["back", "←", "Step back", ["ArrowLeft", "h"], () => go(at - 1)],
  ["step", "→", "Step", ["ArrowRight", "l"], () => go(at + 1)],
  ["next-switch", "≫", "Next switch", ["s"], () => go(after(S.switches))],
  ["prev-window", "◇←", "Window before", ["W"], () => go(before(S.windowAt))],
  ["next-window", "◇→", "Next window", ["w"], () => go(after(S.windowAt))],
  ["last", "⇥", "Last", ["End"], () => go(S.n)],
];
const KEY = { ArrowLeft: "←", ArrowRight: "→" };

function layout() {
  const above = $("stage").offsetTop;
  document.documentElement.style.setProperty("--above", `${Math.min(above, 470) + 16}px`);
}

function begin() {
  const data = JSON.parse($("story").textContent);
  for (const [id, sign, name, keys, act] of MOVES) {
    const b = el("button", { type: "button", id, title: `${name} (${keys.map((k) => KEY[k] || k).join(" or ")})`, "aria-label": name }, sign);
    b.onclick = act;
    $("transport").append(b);
    $("keys").append(el("span", {}, el("kbd", {}, keys.map((k) => KEY[k] || k)[0]), ` ${name.toLowerCase()}`));
  }
  for (const [shape, name] of SHAPES) {
    const pic = document.createElementNS(SVG, "svg");
    pic.setAttribute("aria-hidden", "true");
    pic.append(glyph(shape, 11, 8, ""));
    $("shapes").append(el("span", {}, pic, name));
  }
  const bar = (cls, name, extra) => {
    const pic = document.createElementNS(SVG, "svg");
    pic.setAttribute("aria-hidden", "true");
    pic.append(svg("line", { class: cls, x1: 0, x2: 22, y1: 8, y2: 8, ...extra }));
    return el("span", {}, pic, name);
  };
  $("shapes").append(bar("held", "a lock is held", { stroke: "var(--lock0)" }), bar("irqoff", "interrupts are off", {}));
  $("at").oninput = () => go(Number($("at").value));
  $("all").ontoggle = () => { if ($("all").open && !$("s1")) everyStep(); };
  window.addEventListener("beforeprint", () => { $("all").open = true; everyStep(); });
  const copy = $("copy");
  if (copy) copy.onclick = async () => {
    try { await navigator.clipboard.writeText($("reproduce").textContent); copy.textContent = "Copied"; } catch { getSelection().selectAllChildren($("reproduce")); }
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.id !== "at") return;
    const move = MOVES.find(([, , , keys]) => keys.includes(event.key));
    if (move) { event.preventDefault(); move[4](); }
  });
  let wait = 0;
  window.addEventListener("resize", () => { cancelAnimationFrame(wait); wait = requestAnimationFrame(() => { layout(); go(at); }); });
  tell(data);
  const f = S.findings[0];
  const outcome = $("outcome");
  if (!document.body.classList.contains("play")) {
    outcome.textContent = f ? `✕ ${f.title}` : "no finding";
    outcome.className = f ? "bad" : "good";
  }
  layout();
  const wanted = Number(new URLSearchParams(location.hash.slice(1)).get("step"));
  go(wanted || (f ? f.at : 0));
}
