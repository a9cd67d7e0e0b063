"""What instructions are: pure knowledge, no input or output, standard library only."""
