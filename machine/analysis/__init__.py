"""Questions to a whole recording, asked part by part while it is replayed (docs/analysis.md)."""
