"""`kspec dashboard`: what a store of results, or the reports of a cluster, say now; in browsers and terminals."""
