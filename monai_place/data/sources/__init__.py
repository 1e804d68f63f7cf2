"""Public data sets: one file each, from its files to a datalist."""
