"""What the outside sees of a run, an operator and a webhook: metrics and traces."""
