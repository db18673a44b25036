"""The harness of the fault tests: a whole installation whose every part a test may kill, freeze, cut and bring back.

=================  ====================================================================================================
``site``           the parts and how they are started, harmed and healed: read this first
``backends``       the kinds of site; a scenario names one by a decorator and gets it as its ``site``
``process``        kill, freeze, thaw, stop, limit files; by the process' own pid
``valkeys``        flush, lose power, starve, fill the disk, replicate, promote; a cluster
``ledger_store``   PostgreSQL, from a template that was migrated once; ``pg_ctl stop -m immediate``
``roads, proxy``   each program's own way to each store: cut, refuse, delay, blackhole, half open, cut in an answer
``clock``          wall clocks that are wrong, and jump
``release``        the next release, with another library in Valkey
``load, asking``   what clients do meanwhile: much at once, or one call after another, timed
``witness``        the provider's log: charged and under way against granted, at every line of it
``checks``         what must be true once nothing is under way
=================  ====================================================================================================
"""
