# SPDX-License-Identifier: GPL-2.0-only
"""A story as the text of /sys/kernel/tracing/trace, for greps and for tools that read that.

What has a tracepoint in the kernel is printed as that event, with its fields: page references,
pages that are freed and allocated, LRU insertions, locks, interrupts, wake-ups, switches.  Whatever
else happens is a line as trace_printk() makes it: function, colon, words.  A shared lock, or one to
sleep on, is told by the lock's event alone.

Time is the number of the step in microseconds.  ``need-resched``, migration and priorities are not
modelled: their places are those of "no", and 120.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from mmsim.engine.events import Event
from mmsim.report.sentence import sentence
from mmsim.report.story import SPIN, Step, Story, Thing

HEADER = """\
#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
"""
_COUNTS = ("count", "_refcount")
_LRU = ("inactive_list", "active_list", "_ANON", "_FILE", "anon", "file", "unevictable", "lru")


def ftrace(story: Story) -> str:
    """The whole text."""
    lines: list[str] = []
    running: dict[int, Event] = {}
    things = {thing.name: thing for thing in story.first}
    for step in story.steps:
        event = step.event
        if event.context == "task" and event.kind != "exit":
            before = running.get(event.cpu)
            if before is None or before.entity != event.entity:
                lines.append(_line(step, _switch(before, event), before))
            running[event.cpu] = event
        task = running.get(event.cpu)
        lines += [_line(step, text, task) for text in _told(step, things)]
        things.update((thing.name, thing) for thing in step.changed)
        if event.kind == "exit":
            running.pop(event.cpu, None)
    count = f"# entries-in-buffer/entries-written: {len(lines)}/{len(lines)}   #P:{story.cpus}"
    return f"# tracer: nop\n#\n{count}\n#\n{HEADER}" + "".join(f"{line}\n" for line in lines)


def _line(step: Step, text: str, task: Event | None) -> str:
    """An interrupt's lines name the task below it, as the kernel's do."""
    event = step.event
    comm, pid = ("<idle>", 0) if task is None else (task.comm, task.pid)
    context = {"hardirq": "h", "softirq": "s"}.get(event.context, ".")
    depth = "." if not step.depth else f"{min(step.depth, 15):x}"
    flags = f"{'d' if step.irqs_off else '.'}.{context}{depth}."
    seconds, micro = divmod(step.number, 1_000_000)
    return f"{comm[:15]:>16}-{pid:<7d} [{event.cpu:03d}] {flags} {seconds:5d}.{micro:06d}: {text}"


def _switch(before: Event | None, event: Event) -> str:
    comm, pid = (f"swapper/{event.cpu}", 0) if before is None else (before.comm, before.pid)
    state = "R" if before is None or before.kind != "sleep" else "D"
    return (
        f"sched_switch: prev_comm={comm} prev_pid={pid} prev_prio=120 prev_state={state} ==> "
        f"next_comm={event.comm} next_pid={event.pid} next_prio=120"
    )


def _told(step: Step, things: dict[str, Thing]) -> Iterator[str]:
    event = step.event
    kind = event.kind
    if kind in ("lock", "trylock", "down") and event.value is not False:
        yield f"lock_acquire: {_address(event.obj)} {'try ' * (kind == 'trylock')}{event.obj}"
    elif kind in ("unlock", "up"):
        yield f"lock_release: {_address(event.obj)} {event.obj}"
    elif kind == SPIN:
        yield f"contention_begin: {_address(event.obj)} (flags=SPIN)"
    elif kind in ("irq-enter", "irq-exit"):
        yield _interrupt(event)
    elif kind == "wake" and event.value is not False:
        comm, _, pid = step.other.partition("/")
        yield f"sched_waking: comm={comm} pid={pid or 0} prio=120 target_cpu={event.cpu:03d}"
    elif event.label in _COUNTS and kind.startswith("rmw"):
        yield _reference(event, things.get(event.obj))
    else:
        where = step.stack[0].function.symbol if step.stack else event.comm
        yield f"{where}: {_words(step)}"
    for thing in step.changed:
        yield from _page_events(things.get(thing.name), thing)


def _interrupt(event: Event) -> str:
    if event.context == "softirq":
        what = "entry" if event.kind == "irq-enter" else "exit"
        return f"softirq_{what}: vec=2 [action={event.comm}]"
    if event.kind == "irq-enter":
        return f"irq_handler_entry: irq={event.entity} name={event.comm}"
    return f"irq_handler_exit: irq={event.entity} ret=handled"


def _reference(event: Event, page: Thing | None) -> str:
    old = event.old if isinstance(event.old, int) else 0
    new = event.new if isinstance(event.new, int) else 0
    flags = "|".join(page.flags) if page is not None else ""
    mapcount = dict(page.fields).get("mapcount", "0") if page is not None else "0"
    pfn = event.obj.removeprefix("pfn:")
    name, tail = "page_ref_mod", ""
    if event.kind != "rmw-relaxed":
        unless = isinstance(event.value, bool)
        name = "page_ref_mod_unless" if unless else "page_ref_mod_and_test"
        tail = f" ret={int(event.value) if unless else int(new == 0)}"
    return (
        f"{name}: pfn=0x{int(pfn, 16):x} flags={flags} count={new} mapcount={mapcount} "
        f"mapping=0 mt=0 val={new - old}{tail}"
    )


def _page_events(was: Thing | None, now: Thing) -> Iterator[str]:
    if was is None or not now.page:
        return
    pfn = int(now.name.removeprefix("pfn:"), 16)
    page = f"page={_address(now.name)} pfn=0x{pfn:x}"
    if now.state and not was.state:
        yield f"mm_page_free: {page} order=0"
    elif was.state and not now.state:
        yield f"mm_page_alloc: {page} order=0 migratetype=0 gfp_flags=0"
    if _on_lru(now.lists) and not _on_lru(was.lists):
        yield f"mm_lru_insertion: {page} lru={_on_lru(now.lists)} flags={'|'.join(now.flags)}"


def _on_lru(lists: Sequence[str]) -> str:
    return next((name for name in lists if name.endswith(_LRU)), "")


def _words(step: Step) -> str:
    """The sentence without its subject, which the line has already."""
    text = sentence(step)
    where = "" if step.event.context == "task" else f" ({step.event.context})"
    return text.removeprefix(f"CPU{step.event.cpu} {step.event.comm}{where} ")


def _address(name: str) -> str:
    """Made up, and the same for the same object."""
    return f"{0xFFFF888000000000 + zlib.crc32(name.encode()) * 16:016x}"
