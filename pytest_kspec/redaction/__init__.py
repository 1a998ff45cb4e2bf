"""What may be a credential is taken out of whatever is written: reports, messages, snapshots.

`names` says which names are those of credentials, `formats` what credentials look like, `text` takes them out of a
text, `objects` out of Kubernetes objects and parts of them. All of it takes linear time, and imports `re` only.
"""
