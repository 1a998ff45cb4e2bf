"""Kubernetes' own vocabulary: references, resources, images, versions, quantities, fields of pods."""
