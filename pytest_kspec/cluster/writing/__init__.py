"""What writes to a cluster or asks it for reviews; never imported by what reads."""
