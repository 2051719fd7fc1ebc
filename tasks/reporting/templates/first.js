"use strict";
document.documentElement.classList.add("js"); // pages one at a time; without scripts all are there
