# SPDX-License-Identifier: GPL-2.0-only
"""A story in the Chrome trace format, for ui.perfetto.dev and chrome://tracing.

The JSON object form: metadata first, then everything by time.  The machine is one process with a
thread for each CPU (100 + its number), on which functions are nested slices and steps are instants;
counts of pages are counters.  A second process has a thread for each lock and a slice for each
hold; an arrow leads from a hold to the next one by somebody else.

Time is the number of steps, ten microseconds each, so that a viewer has something to zoom into.
"""

from __future__ import annotations

from typing import Any

from mmsim import __version__
from mmsim.report.sentence import sentence
from mmsim.report.story import Step, Story

MACHINE, LOCKS = 1, 2
TICK = 10
_COUNTERS = ("count", "refcount", "mapcount")

Slice = tuple[int, str, str]  # context, function, file: what makes one open slice the same


def perfetto(story: Story, name: str) -> dict[str, Any]:
    """The trace as plain data; ``name`` is that of the machine."""
    metadata = [
        _meta(MACHINE, 0, "process_name", name=name),
        _meta(LOCKS, 0, "process_name", name="locks"),
        _meta(LOCKS, 0, "process_sort_index", sort_index=LOCKS),
    ]
    for cpu in range(story.cpus):
        metadata.append(_meta(MACHINE, 100 + cpu, "thread_name", name=f"CPU{cpu}"))
        metadata.append(_meta(MACHINE, 100 + cpu, "thread_sort_index", sort_index=cpu))
    events = [*_functions(story), *_points(story), *_counters(story)]
    holds, names = _locks(story)
    metadata += [_meta(LOCKS, 1 + i, "thread_name", name=lock) for i, lock in enumerate(names)]
    events += holds
    # of slices that begin together the outer one comes first; an arrow after what it is bound to
    events.sort(key=lambda e: (e["ts"], {"X": 0, "C": 1, "i": 2}.get(e["ph"], 3), -e.get("dur", 0)))
    return {
        "traceEvents": [*metadata, *events],
        "displayTimeUnit": "ns",
        "otherData": {
            "made by": f"mmsim {__version__}",
            "time": f"{TICK} us a step: steps, not seconds",
        },
    }


def _meta(pid: int, tid: int, what: str, **args: Any) -> dict[str, Any]:
    return {"ph": "M", "pid": pid, "tid": tid, "name": what, "args": args}


def _functions(story: Story) -> list[dict[str, Any]]:
    """Nested slices a CPU, from the stacks of successive steps.

    What an interrupt interrupts stays open below it; a task that was switched out is closed, and
    opened again when it goes on.
    """
    out: list[dict[str, Any]] = []
    open_on: list[list[tuple[Slice, int]]] = [[] for _ in range(story.cpus)]
    stacks: dict[int, tuple[Slice, ...]] = {}
    below: list[list[int]] = [[] for _ in range(story.cpus)]  # contexts, the interrupted first

    def settle(cpu: int, wanted: list[Slice], now: int) -> None:
        seen = open_on[cpu]
        same = 0
        while same < min(len(seen), len(wanted)) and seen[same][0] == wanted[same]:
            same += 1
        while len(seen) > same:
            (ctx, func, file), since = seen.pop()
            out.append(
                {
                    "ph": "X",
                    "pid": MACHINE,
                    "tid": 100 + cpu,
                    "name": func,
                    "cat": "function",
                    "ts": since,
                    "dur": now - since,
                    "args": {"file": file, "context": str(story.names[ctx])},
                }
            )
        seen += [(one, now) for one in wanted[same:]]

    end = TICK
    for place, step in enumerate(story.steps, 1):
        end = place * TICK
        event, cpu = step.event, step.event.cpu
        chain = below[cpu]
        if event.kind == "irq-enter":
            chain.append(event.entity)
            stacks[event.entity] = ((event.entity, f"{event.context} {event.comm}", ""),)
        elif event.kind in ("irq-exit", "exit"):
            if event.entity in chain:
                chain.remove(event.entity)
            stacks[event.entity] = ()
        elif step.stack:
            root = stacks.get(event.entity, ())[:1] if event.context != "task" else ()
            frames = tuple(
                (event.entity, p.function.symbol, p.function.source) for p in reversed(step.stack)
            )
            stacks[event.entity] = (*root, *frames)
            if event.context == "task":
                chain[:1] = [event.entity] if not chain or _is_task(story, chain[0]) else chain[:1]
                if event.entity not in chain:
                    chain.insert(0, event.entity)
        settle(cpu, [one for ctx in chain for one in stacks.get(ctx, ())], end)
    for cpu in range(story.cpus):
        settle(cpu, [], end + TICK)
    return out


def _is_task(story: Story, ctx: int) -> bool:
    return story.names[ctx].kind == "task"


def _points(story: Story) -> list[dict[str, Any]]:
    return [
        {
            "ph": "i",
            "s": "t",
            "pid": MACHINE,
            "tid": 100 + step.event.cpu,
            "name": step.event.label or step.event.kind,
            "cat": step.event.kind,
            "ts": place * TICK + 1,
            "args": _args(step),
        }
        for place, step in enumerate(story.steps, 1)
    ]


def _args(step: Step) -> dict[str, Any]:
    args: dict[str, Any] = {"step": step.number, "what": sentence(step)}
    if step.locks:
        args["locks"] = ", ".join(step.locks)
    if step.irqs_off:
        args["irqs"] = "off"
    return args


def _counters(story: Story) -> list[dict[str, Any]]:
    out = []
    at = {0: story.first} | {place: step.changed for place, step in enumerate(story.steps, 1)}
    last: dict[str, int] = {}
    for place, things in at.items():
        for thing in things:
            for field, text in thing.fields if thing.page else ():
                name = f"{field}({thing.name})"
                if field not in _COUNTERS or last.get(name) == int(text):
                    continue
                last[name] = int(text)
                out.append(
                    {
                        "ph": "C",
                        "pid": MACHINE,
                        "tid": 0,
                        "name": name,
                        "ts": place * TICK,
                        "args": {"value": int(text)},
                    }
                )
    return out


def _locks(story: Story) -> tuple[list[dict[str, Any]], list[str]]:
    """A slice a hold, arrows between them, and the locks' names in the order of their threads."""
    names: list[str] = []
    out: list[dict[str, Any]] = []
    since: dict[tuple[int, str], int] = {}
    last: dict[str, tuple[int, int]] = {}  # lock -> (context, when it dropped it)
    arrows = 0

    def drop(ctx: int, lock: str, now: int) -> None:
        begun = since.pop((ctx, lock))
        who = story.names[ctx]
        out.append(
            {
                "ph": "X",
                "pid": LOCKS,
                "tid": 1 + names.index(lock),
                "name": f"CPU{who.cpu} {who}",
                "cat": "lock",
                "ts": begun,
                "dur": now - begun,
                "args": {},
            }
        )
        last[lock] = (ctx, now)

    held: dict[int, set[str]] = {}
    for place, step in enumerate(story.steps, 1):
        ctx, now = step.event.entity, set(step.locks)
        for lock in held.get(ctx, set()) - now:
            drop(ctx, lock, place * TICK)
        for lock in sorted(now - held.get(ctx, set())):
            if lock not in names:
                names.append(lock)
            since[ctx, lock] = place * TICK
            before = last.get(lock)
            if before is not None and before[0] != ctx:
                arrows += 1
                arrow = {"pid": LOCKS, "tid": 1 + names.index(lock), "cat": "lock", "id": arrows}
                out.append({**arrow, "ph": "s", "name": "next", "ts": before[1] - 1})
                out.append({**arrow, "ph": "f", "bp": "e", "name": "next", "ts": place * TICK + 1})
        held[ctx] = now
    end = (len(story.steps) + 1) * TICK
    for ctx, lock in list(since):
        drop(ctx, lock, end)
    return out, names
