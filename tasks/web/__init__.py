"""HTTP: the board (pages and changes) and the inspection service. Decisions are made in other
packages."""
