"""Names for addresses: images, their symbols, and what a user types for a place."""

from armprobe.symbols.image import Image, Segment, Symbol

__all__ = ["Image", "Segment", "Symbol"]
