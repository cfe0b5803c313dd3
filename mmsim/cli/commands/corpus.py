# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim corpus`: one small line of every kind of finding; check and make anew."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmsim.errors import UsageError
from mmsim.run import TOKENS
from mmsim.scenarios.api import Verdict
from mmsim.stress import corpus
from mmsim.stress.parser import MOST_JOBS, whole
from mmsim.stress.source import select
from mmsim.stress.stored.file import Store
from mmsim.stress.stored.proposals import proposals

if TYPE_CHECKING:
    from mmsim.scenarios.api import Variant

HELP = "the shrunk line of every kind of finding: check, refresh, add"
DESCRIPTION = """\
stress/corpus/lines.toml has one line of every kind of finding of every variant that
fails, as small as could be had. Tests replay it first.

  check    replay every line; says which are stale, and what makes them anew
  refresh  look for all kinds of findings again (the default campaign, then the
           record of proofs) and make them small; lines that still hold stay, unless
           a smaller one turns up. Without VARIANT: everything, which takes minutes
  add      make a line small and put it in
  propose  print what campaigns in a store have found that is not in the corpus, in
           its format; --add puts it in

exit code: 0 in order, 1 check has found stale lines, 2 usage
"""
OK, STALE = 0, 1
TELL = 2.0


def arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="what", title="what", required=True)

    check = commands.add_parser("check", help="replay every line", allow_abbrev=False)
    check.set_defaults(corpus_run=_check)
    check.add_argument("variant", nargs="*", metavar="VARIANT", help="only these (002.flawed, 002)")
    check.add_argument(
        "--engine", choices=tuple(TOKENS), default="green", help="on what (default green)"
    )

    refresh = commands.add_parser("refresh", help="make lines anew", allow_abbrev=False)
    refresh.set_defaults(corpus_run=_refresh)
    refresh.add_argument("variant", nargs="*", metavar="VARIANT", help="only these")
    refresh.add_argument(
        "--jobs", type=whole(1, MOST_JOBS), metavar="J", help="processes that look (one a core)"
    )

    add = commands.add_parser("add", help="put a line in", allow_abbrev=False)
    add.set_defaults(corpus_run=_add)
    add.add_argument("variant", metavar="VARIANT", help="the variant's id, such as 002.flawed")
    add.add_argument("schedule", metavar="LINE", help="a word that begins with mm1: or mm2:")
    add.add_argument("--cast", default="", metavar="NAME", help="it was recorded with this cast")

    propose = commands.add_parser("propose", help="from a store", allow_abbrev=False)
    propose.set_defaults(corpus_run=_propose)
    propose.add_argument("store", metavar="STORE", help="the file of a campaign")
    propose.add_argument("--add", action="store_true", help="put them in")

    for command in (check, refresh, add, propose):
        command.add_argument(
            "--corpus", metavar="FILE.toml", help="another file than stress/corpus/lines.toml"
        )


def run(options: argparse.Namespace) -> int:
    code: int = options.corpus_run(options)
    return code


def _file(options: argparse.Namespace) -> Path:
    return Path(options.corpus) if options.corpus else corpus.shipped()


def _chosen(options: argparse.Namespace) -> list[Variant]:
    """The variants that were asked for and can fail."""
    asked = select(corpus.SOURCE, variants=options.variant)
    failing = [variant for variant in asked if variant.expect is not Verdict.NEVER]
    if not failing:
        raise UsageError(f"{', '.join(options.variant)}: declared Never, so it has no findings")
    return failing


def _check(options: argparse.Namespace) -> int:
    file, wanted = _file(options), {variant.id for variant in _chosen(options)}
    entries = [one for one in corpus.read(file) if not options.variant or one.variant in wanted]
    begun = told = time.monotonic()
    stale = 0
    for done, (one, why) in enumerate(corpus.replayed(entries, options.engine)):
        if time.monotonic() - told > TELL:
            told = time.monotonic()
            _say(f"{done} of {len(entries)} lines")
        if why:
            stale += 1
            print(f"STALE  {one.variant} {one.fingerprint}  {one.title}")
            print(f"       {why}")
            print(f"       {corpus.remedy(one)}")
    missing = sorted(wanted - {one.variant for one in entries})
    if missing:
        print(f"no line of {', '.join(missing)}")
    variants = len({one.variant for one in entries})
    print(
        f"{len(entries)} lines of {variants} variants replayed in "
        f"{time.monotonic() - begun:.1f} s: {stale or 'none'} stale"
    )
    return STALE if stale or missing else OK


def _refresh(options: argparse.Namespace) -> int:
    file, variants = _file(options), _chosen(options)
    told = time.monotonic()

    def tell(text: str) -> None:
        nonlocal told
        if time.monotonic() - told > TELL:
            told = time.monotonic()
            _say(text)

    old = corpus.read(file) if file.is_file() else []
    if not options.variant:  # what is no variant any more goes, too
        known = {variant.id for variant in variants}
        dropped = [one for one in old if one.variant not in known]
        old = [one for one in old if one.variant in known]
    else:
        dropped = []
    done = corpus.refresh(old, variants, options.jobs, tell)
    corpus.write(done.entries, file)
    _changes("new", done.new)
    _changes("changed", done.changed)
    _changes("gone", [*dropped, *done.gone])
    print(f"{file}: {len(done.entries)} lines")
    return OK


def _changes(word: str, entries: Sequence[corpus.Entry]) -> None:
    for one in entries:
        size = "" if word == "gone" else f"  {one.preemptions} preemptions, {one.points} points"
        print(f"{word:<8} {one.variant} {one.fingerprint}  {one.title}{size}")


def _add(options: argparse.Namespace) -> int:
    file = _file(options)
    one = corpus.small(options.variant, options.schedule, options.cast)
    _put(file, [one])
    return OK


def _put(file: Path, found: Sequence[corpus.Entry]) -> None:
    """Put what is new or smaller into the file, and say so."""
    entries = {one.key: one for one in (corpus.read(file) if file.is_file() else [])}
    stale = {
        one.key
        for one, why in corpus.replayed([entries[one.key] for one in found if one.key in entries])
        if why
    }
    for one in found:
        old = entries.get(one.key)
        if old is None or old.key in stale or one.size < old.size:
            entries[one.key] = one
            _changes("new" if old is None else "changed", [one])
        else:
            print(f"kept     {one.variant} {one.fingerprint}  the line there is as small")
    corpus.write(entries.values(), file)


def _propose(options: argparse.Namespace) -> int:
    with Store(options.store) as store:
        found = proposals(store)
    file = _file(options)
    fresh = corpus.unknown(found, corpus.read(file) if file.is_file() else [])
    if not fresh:
        print(f"{options.store} proposes nothing that the corpus does not have", file=sys.stderr)
    elif options.add:
        _put(file, fresh)
    else:
        print(corpus.text(fresh).strip())
    return OK


def _say(text: str) -> None:
    print(f"mmsim: {text}", file=sys.stderr, flush=True)
