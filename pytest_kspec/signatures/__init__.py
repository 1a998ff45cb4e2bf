"""Who signed an image: what registries keep beside it, and whether that is a signature by those whom one trusts.

`verify` is the way from an image and a list of signers to an outcome. Nothing here knows checks or clusters.
"""
