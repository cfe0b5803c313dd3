# SPDX-License-Identifier: GPL-2.0-only
"""The stress runner: every variant, many times, on every core, and what can be said afterwards.

    cli       the command line and the exit code
    settings  what was asked for: options over profile over defaults, checked
    profile   campaign profiles (TOML)
    source    where variants come from, and how one is made to run
    plan      which block of runs comes next; the order in which results count
    worker    the inside of one worker process
    crew      the loop of a campaign, whoever computes its blocks
    pool      a crew of worker processes: start, feed, replace, stop
    cluster   a crew of the workers of a cluster;  clusterspec: where that is
    stored    campaigns in a SQLite file;  page: one to look at;  changes: two side by side
    identity  who computes: code, Python, machine
    tally     what is known of one variant so far
    pairs     a right variant beside its wrong twin: the runs it needs
    duel      two variants run by run, under a sequential test
    verdict   Never, Sometimes, Always: declared against observed, and is it enough to tell
    statistics  intervals and tests
    shrinking  lines that are printed, made small
    output    the screen and the reports;  progress: while it runs;  store: the same as JSON

Two promises hold the parts together. The numbers depend on the seed and on nothing else: not on
how many workers there are, nor on which of them is faster. And nothing is lost quietly: a
worker that dies costs its block, and the end of the output says so.
"""
