"""One restricted thing as data. A rule is pure: pod shape in, violations out; no source, no report, no pytest."""
