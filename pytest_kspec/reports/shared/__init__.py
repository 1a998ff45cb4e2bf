"""Order, words and grouping that all formats share."""
