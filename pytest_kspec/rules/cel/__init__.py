"""Rules as CEL over `object`, for whatever engine evaluates CEL with optionals: Kubernetes 1.30 and later.

A rule becomes an expression for a list of texts, one for each violation, empty where there is none: verdict and
message come from one expression, so they cannot disagree. What CEL cannot say exactly raises `NotExpressible`.

Each kind of rule has the method `to_cel`. That of a built-in kind is beside the rule, in a module that ends in `_cel`,
which a scan never imports.
"""
