"""What can be read of processes from outside: who a pid is, what it maps, the ELF files behind that, its memory."""
