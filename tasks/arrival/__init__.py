"""How images come in: folders, archives and buckets, sorted and put in place one by one."""
