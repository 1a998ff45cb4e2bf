"""Whether somebody can see what the cluster does: metrics and the audit log."""
