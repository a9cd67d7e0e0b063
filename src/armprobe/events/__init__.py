"""What comes back from compiled handlers: records and the ring they arrive in."""
