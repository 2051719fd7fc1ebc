"""HTTP: the board (pages and changes) and the inspection service. No decision is taken here."""
