# SPDX-License-Identifier: GPL-2.0-only
"""Does a report look like a mail to a kernel list?

Form only: a subject, a kernel, a symptom, the interleaving in columns, a line that replays, a
patch's idea, a sign-off, lines that fit.  Whether it is right is for readers, and for the runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Rule = tuple[str, Callable[[str], str]]

LONGEST_SUBJECT = 78
LONGEST_LINE = 78
LEAST_WORDS = 120


def lint(text: str) -> list[str]:
    """What is missing, one line each; empty if nothing is."""
    return [trouble for _, rule in RULES if (trouble := rule(text))]


def _subject(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")
    subject = first.removeprefix("Subject:").strip("# ").strip()
    if not re.match(r"(?:\[[^\]]+\]\s*)?[\w/.-]+:\s*\S", subject):
        return "subject: the first line has to say where and what, as in `mm/vmscan: ...`"
    if len(subject) > LONGEST_SUBJECT:
        return f"subject: {len(subject)} characters; at most {LONGEST_SUBJECT}"
    return ""


def _needs(pattern: str, what: str) -> Callable[[str], str]:
    def rule(text: str) -> str:
        return "" if re.search(pattern, text, re.IGNORECASE | re.MULTILINE) else what

    return rule


def _columns(text: str) -> str:
    rows = [line for line in text.splitlines() if re.search(r"\S.* {3,}\S|^ {12,}\S", line)]
    if len(rows) < 3:
        return "interleaving: draw it in columns, a CPU a column, at least three lines"
    return ""


def _lines(text: str) -> str:
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > LONGEST_LINE and "mm1:" not in line and "http" not in line:
            return f"line {number}: {len(line)} characters; mails wrap at {LONGEST_LINE}"
    return ""


def _size(text: str) -> str:
    n = len(text.split())
    if n < LEAST_WORDS:
        return f"{n} words: too few to convince anybody; at least {LEAST_WORDS}"
    if n > 1500:
        return f"{n} words: nobody reads it to the end; at most 1500"
    return ""


RULES: tuple[Rule, ...] = (
    ("subject", _subject),
    ("kernel", _needs(r"\b[2-6]\.\d+(\.\d+)?", "kernel: say which version it is about")),
    (
        "symptom",
        _needs(
            r"BUG|oops|double free|deadlock|corrupt|unable to handle|invariant|hung|on no LRU",
            "symptom: quote the first line of the report that one sees",
        ),
    ),
    ("interleaving", _columns),
    ("line", _needs(r"\bmm\d+:\d+:\S+", "reproduce: give a line that replays (mm1:...)")),
    (
        "lock",
        _needs(r"\block|\breference\b", "protection: say which lock, or reference, protects what"),
    ),
    ("rate", _needs(r"\d+ (of|in|out of) [\d,]+|exhaustive", "rate: say how often, of how many")),
    ("fix", _needs(r"^\s*(fix|patch|the fix|proposed)", "fix: a paragraph that begins with `Fix`")),
    (
        "sign-off",
        _needs(
            r"^(Signed-off|Reported)-by: \S+ .*@",
            "sign-off: Reported-by: or Signed-off-by: name <address>",
        ),
    ),
    ("width", _lines),
    ("size", _size),
)
