"""What a scan found: verdicts, findings, identity, exemptions, baselines, differences, totals."""
