"""One potential, many programs: each file here puts it behind the interface another program expects."""
