"""A real Kubernetes control plane for the tests: etcd, kube-apiserver and, if asked, kube-controller-manager.

The API server is the referee of this project: what it refuses, our checks must report. So tests ask the real
one, built from its Go modules, and not a fake that would share our mistakes. See README.md in this folder.
"""
