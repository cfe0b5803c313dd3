# SPDX-License-Identifier: GPL-2.0-only
"""The same facts for machines and for the summary of a CI job: JUnit's XML, and Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from mmsim.stress.page.facts import Facts, Line

MOST_KINDS = 20
_CONTROL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markdown(facts: Facts) -> str:
    """A summary that fits the page of a CI job."""
    return "\n".join(_markdown(facts)) + "\n"


def _markdown(facts: Facts) -> Iterator[str]:
    row, campaign = facts.counted.row, facts.counted.campaign
    word = {True: "ok", False: "DIFFERS", None: "undecided"}[facts.ok]
    yield f"## mmsim: {word}, {facts.verdict}"
    yield ""
    yield (
        f"{campaign.runs:,} runs, {campaign.findings:,} findings; profile {row['profile']}, "
        f"seed {row['seed']}, cpus {row['cpus']}, {row['engine']}, "
        f"{facts.counted.settings.scheduler}; code {row['code']}, {row['python']}"
    )
    if facts.worst_p is not None:
        yield ""
        yield f"{facts.decided} of {facts.pairs} pairs decided, p ≤ {facts.worst_p:.2g}"
    yield ""
    yield "| thread | variants | as declared | differ | undecided | runs | findings |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for thread in facts.threads:
        counts = (thread.count(ok) for ok in (True, False, None))
        cells = (len(thread.lines), *counts, thread.runs, thread.findings)
        yield f"| {thread.id} {thread.name} | {' | '.join(f'{n:,}' for n in cells)} |"
    for ok, head in ((False, "Differs"), (None, "Undecided")):
        lines = [line for line in facts.lines if line.ok is ok]
        if lines:
            yield ""
            yield f"### {head}"
            yield ""
            yield from (f"- `{line.id}`: {_text(_why(line))}" for line in lines)
    if facts.lost:
        yield ""
        yield "### Lost"
        yield ""
        yield from (f"- {_text(message)}" for message in facts.lost)
    undeclared = [kind for kind in facts.kinds if not kind.declared]
    if undeclared:
        yield ""
        yield "### Findings that nobody declared"
        yield ""
        for kind in undeclared[:MOST_KINDS]:
            yield f"- {_text(kind.title)}: {kind.count:,} times, first in `{kind.variants[0][0]}`"
            yield f"  `{kind.command}`"


def _why(line: Line) -> str:
    return "; ".join(line.reasons) or line.word


def _text(text: str) -> str:
    """Text that Markdown takes for text."""
    return re.sub(r"([\\`*_<>|\[\]])", r"\\\1", text)


def junit(facts: Facts) -> str:
    """A test suite a thread, a test case a variant: what differs has failed, what is undecided is
    skipped.
    """
    root = ElementTree.Element("testsuites", name="mmsim")
    seconds = {tally.variant.id: tally.seconds for tally in facts.counted.campaign.tallies}
    findings: dict[str, list[str]] = {}
    for kind in facts.kinds:
        findings.setdefault(kind.variants[0][0], []).append(f"{kind.report}\n{kind.command}")
    for thread in facts.threads:
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=f"{thread.id} {thread.name}",
            tests=str(len(thread.lines)),
            failures=str(thread.count(False)),
            errors="0",
            skipped=str(thread.count(None)),
            timestamp=facts.counted.row["began"].rstrip("Z"),
            time=f"{sum(seconds[line.id] for line in thread.lines):.3f}",
        )
        for line in thread.lines:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=f"mmsim.{thread.id}",
                name=line.id,
                time=f"{seconds[line.id]:.3f}",
            )
            if line.ok is not True:
                tag = "failure" if line.ok is False else "skipped"
                outcome = ElementTree.SubElement(case, tag, message=_clean(_why(line)))
                if line.ok is False:
                    outcome.set("type", "differs")
                    outcome.text = _clean("\n\n".join(findings.get(line.id, [])))
            out = ElementTree.SubElement(case, "system-out")
            out.text = _clean(f"{line.findings} of {line.runs} runs failed: {line.shown_rate}")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _clean(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return _CONTROL.sub("?", text)
