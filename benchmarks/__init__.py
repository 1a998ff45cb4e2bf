"""What a scan costs: `make bench`. Ratios side by side in one run, never a timed test."""
