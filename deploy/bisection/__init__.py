"""Two runs of one recording side by side, and the first instruction behind which they are not the same."""
