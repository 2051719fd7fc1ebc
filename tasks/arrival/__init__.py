"""How images arrive: from folders, archives and buckets, sorted and stored one by one."""
