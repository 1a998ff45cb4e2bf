"""A real cluster: kubelets that run pods, in namespaces of their own, and what only such a cluster can show.

`make test-node` runs the tests here; README.md says how the cluster is made.
"""
