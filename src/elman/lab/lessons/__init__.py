"""The lessons, a folder each: what it asks, its text, and its stage."""
