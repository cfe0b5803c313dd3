// SPDX-License-Identifier: GPL-2.0-only
// The player: the page of a story (view.js) with somebody's next moves in front of each lane.  Every
// move is sent to the server, which runs all moves again and answers with the story so far.
"use strict";

let P = null;        // what the server says of the position
let chosen = null;   // the context that was moved last
let busy = false;

const RUNS = [["lock", "→ lock", "l", "to the next lock"], ["function", "→ return", "f", "to the end of the function"], ["blocked", "→ blocked", "b", "until it is blocked or has ended"]];

async function send(move) {
  if (busy) return;
  busy = true;
  document.body.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch("move", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(move) });
    const data = await answer.json();
    if (data.error) say(data.error, "");
    else { if (move.ctx !== undefined && move.ctx >= 0) chosen = move.ctx; take(data); }
  } catch {
    say("The game is not there any more: start it again in the terminal.", "bad");
  } finally {
    busy = false;
    document.body.removeAttribute("aria-busy");
  }
}
function say(text, cls) { $("outcome").textContent = text; $("outcome").className = cls; }

/** Take a position in and show its end. */
function take(data) {
  P = data.play;
  pending = {};
  P.contexts.forEach((c, k) => { if (!P.over) pending[k] = { stack: data.standing[k] || [], text: c.state === "can" || c.state === "blocked" ? c.next : c.reason }; });
  frame = {};
  tell(data);
  $("reproduce").textContent = P.line;
  if (P.report) { $("report").hidden = false; $("report").querySelector("pre").textContent = P.report; }
  else { $("report").hidden = true; $("report").querySelector("pre").textContent = ""; }
  goal();
  controls();
  if (P.won) say(`✕ ${P.title}`, "bad");
  else if (P.over && P.title) say(`✕ ${P.title}: not what was asked for`, "bad");
  else if (P.over) say("It has come to rest, and nothing is wrong. Undo.", "");
  else say("", "");
  explain();
  layout();
  go(S.n);
}

function goal() {
  const many = P.preemptions === 1 ? "" : "s";
  $("target").textContent = P.goal;
  $("count").replaceChildren(el("b", {}, `${P.preemptions} preemption${many}`), P.known === null ? "  ·  no failing run is known here" : `  ·  fewest known ${P.known}`);
  $("undo").disabled = !P.actions; $("redo").disabled = !P.undone; $("again").disabled = !P.actions;
  $("show").disabled = P.known === null; $("end").disabled = P.over;
}

/** In front of each lane: who can go on, and how far; or why not. */
function controls() {
  const had = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.key : null;
  for (let cpu = 0; cpu < S.cpus; cpu++) {
    const kids = [el("b", {}, `CPU${cpu}`)];
    const here = P.contexts.map((c, k) => [c, k]).filter(([, k]) => S.contexts[k].cpu === cpu);
    const main = here.filter(([c, k]) => c.state === "can" && !comesIn(c, k));
    const irqs = here.filter(([c, k]) => c.state === "can" && comesIn(c, k));
    for (const [c, k] of main) {
      const name = S.contexts[k].comm;
      const go1 = button(`${name}`, `step${k}`, () => send({ do: "step", ctx: P.contexts[k].id }),
        `Step ${name} on CPU${cpu}: ${c.next}${c.preempts ? "; a preemption" : ""}`);
      go1.className = "go can";
      go1.title = `${c.next}${c.preempts ? " (a preemption)" : ""}`;
      if (main.length === 1) go1.prepend(el("kbd", { "aria-hidden": "true" }, String(cpu)), " ");
      kids.push(go1);
      if (main.length === 1) for (const [until, sign, , what] of RUNS)
        kids.push(button(sign, `${until}${k}`, () => send({ do: "run", ctx: c.id, until }), `Run ${name} on CPU${cpu} ${what}`));
      if (c.preempts) kids.push(el("span", { class: "why", title: "somebody else could go on: a preemption" }, "⇄"));
    }
    for (const [c, k] of irqs) {
      const same = irqs.filter(([, j]) => S.contexts[j].comm === S.contexts[k].comm).length > 1;
      const b = button(`▾ ${same ? nameOf(k) : S.contexts[k].comm}`, `irq${k}`, () => send({ do: "step", ctx: c.id }), `Deliver ${S.contexts[k].kind} ${S.contexts[k].comm} on CPU${cpu}`);
      b.className = "go irqs";
      kids.push(b);
    }
    if (!main.length && !irqs.length) {
      const stuck = here.filter(([c]) => c.state === "blocked");
      const out = stuck.length ? stuck : here.filter(([c]) => c.state === "away");
      for (const [c, k] of out.slice(0, 1)) {
        const b = button(S.contexts[k].comm, `no${k}`, () => {}, `${S.contexts[k].comm} on CPU${cpu} ${c.reason}`);
        b.className = "go"; b.disabled = true;
        kids.push(b, el("span", { class: "why", title: c.reason }, c.reason));
      }
      if (!out.length) kids.push(el("span", { class: "why" }, P.over ? "" : "idle"));
    }
    const lane = $(`lane${cpu}`);
    lane.classList.toggle("stuck", !main.length && !irqs.length);
    lane.firstChild.replaceChildren(...kids);
  }
  if (had) { const again = document.querySelector(`[data-key="${had}"]`); if (again && !again.disabled) again.focus(); }
}
function comesIn(c, k) { return c.fresh && S.contexts[k].kind !== "task"; }
function button(text, key, act, label) {
  const b = el("button", { type: "button", "data-key": key, "aria-label": label || text }, text);
  b.onclick = act;
  return b;
}

function explain() {
  const box = $("explained");
  box.hidden = !P.won;
  if (!P.won) { box.replaceChildren(); return; }
  const best = P.known !== null && P.preemptions <= P.known;
  box.replaceChildren(
    el("h2", {}, P.title),
    el("p", {}, `You took ${P.preemptions} preemption${P.preemptions === 1 ? "" : "s"}. ` +
      (P.known === null ? "" : best ? "Nobody is known to have done it with fewer." : `It can be done with ${P.known}.`)),
    ...S.windows.slice(-3).map((w) => el("p", {}, el("b", {}, "◇ "),
      `${nameOf(w.who)} looked at ${S.things[S.focusThing] ? S.things[S.focusThing].name : "the page"} at step ${S.steps.n[w.opened - 1]} and again at step ${S.steps.n[w.closed - 1]}; in between it was changed. `,
      w.race ? `${w.function}: ${w.race}` : "")),
    el("details", {}, el("summary", {}, "The whole story"), el("pre", { tabIndex: 0 }, P.story)),
  );
}

function main_of(cpu, irq) {
  return P.contexts.map((c, k) => [c, k]).find(([c, k]) => S.contexts[k].cpu === cpu && c.state === "can" && comesIn(c, k) === irq);
}

function play() {
  const bar = el("section", { id: "goal", "aria-label": "The game" },
    el("b", {}, "Goal"), el("span", { id: "target" }), el("span", { id: "count", role: "status" }), el("span", { id: "buttons" }));
  document.querySelector("header").after(bar);
  const make = (id, text, key, act) => { const b = button(text, id, act); b.id = id; b.append(" ", el("kbd", { "aria-hidden": "true" }, key)); b.setAttribute("aria-keyshortcuts", key); $("buttons").append(b, " "); };
  make("undo", "Undo", "u", () => send({ do: "undo" }));
  make("redo", "Redo", "r", () => send({ do: "redo" }));
  make("again", "Begin again", "x", () => send({ do: "undo", times: 1000000 }));
  make("end", "Run to the end", "e", () => send({ do: "run", ctx: -1, until: "end" }));
  make("show", "Give up, show me", "g", () => send({ do: "show" }));
  for (const move of MOVES) move[3] = move[3].filter((key) => !"hl".includes(key));
  const keys = [["0…9", "step the CPU"], ["⇧0…9", "deliver an interrupt"], ...RUNS.map(([, , key, what]) => [key, what]), ["u", "undo"], ["r", "redo"], ["x", "begin again"], ["e", "to the end"], ["g", "give up"]];
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "INPUT" && event.target.id !== "at") return;
    const digit = /^Digit(\d)$/.exec(event.code) || /^Numpad(\d)$/.exec(event.code);
    if (digit) {
      const cpu = Number(digit[1]);
      const one = cpu < S.cpus && main_of(cpu, event.shiftKey);
      if (one) send({ do: "step", ctx: one[0].id });
      else say(`On CPU${cpu} ${event.shiftKey ? "no interrupt would be let in" : "nobody can go on"}.`, "");
      event.preventDefault();
      return;
    }
    const run = RUNS.find(([, , key]) => key === event.key);
    if (run && chosen !== null) { send({ do: "run", ctx: chosen, until: run[0] }); event.preventDefault(); return; }
    const id = { u: "undo", r: "redo", x: "again", e: "end", g: "show" }[event.key];
    if (id && !$(id).disabled) { $(id).click(); event.preventDefault(); }
  });
  begin();
  $("keys").prepend(...keys.map(([key, what]) => el("span", {}, el("kbd", {}, key), ` ${what}`)));
  take(JSON.parse($("story").textContent));
}
