"""Who may do what, as the API server decides."""
