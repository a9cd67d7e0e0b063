"""Debug information in the DWARF format, versions 2 to 5, through pyelftools; read where it is asked for."""
