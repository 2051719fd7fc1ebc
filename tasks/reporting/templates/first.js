"use strict";
document.documentElement.classList.add("js"); // one page at a time; without scripts all are visible
