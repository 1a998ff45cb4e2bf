"""`kspec init`: what a cluster has today, as a first specification."""
