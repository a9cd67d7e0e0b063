"""Bytes we make: instructions, detours, compiled handlers."""
