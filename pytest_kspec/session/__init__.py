"""Inside one pytest session: options, fixtures, collection, findings, verdicts, xdist, terminal."""
