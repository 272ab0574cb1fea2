"""Does another build answer the same? What `scripts/corpus` runs.

`cases` has the invocations, `host` the files of the host that some of them read. `record` runs them
in the interpreter of a build, and imports nothing but that build. `main` judges two records.
"""
