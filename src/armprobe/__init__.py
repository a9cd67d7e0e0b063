"""Dynamic probes for 32-bit ARM code, from Python."""
