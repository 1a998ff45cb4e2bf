"""Where objects come from. A live API server, a snapshot and a folder of manifests are the same thing to
a check.
"""
