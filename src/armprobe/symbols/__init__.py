"""Names for addresses: images, their symbols, and what a user types for a place."""

from armprobe.symbols.image import Image, Segment, Symbol
from armprobe.symbols.location import Location, resolve
from armprobe.symbols.table import SymbolTable, demangled

__all__ = ["Image", "Location", "Segment", "Symbol", "SymbolTable", "demangled", "resolve"]
