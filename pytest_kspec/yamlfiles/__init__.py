"""YAML files: read with the line of every value, and written as Kubernetes reads them."""
