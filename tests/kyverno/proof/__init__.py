"""`make test-kyverno`: the tests of `tests/parity`, with Kyverno in the place of the API server's own policies.

One module for each of those that say something about an engine. They are not named `test_*`, so that `make test` leaves
them out: the first build of Kyverno takes some ten minutes, the comparison some more.
"""
