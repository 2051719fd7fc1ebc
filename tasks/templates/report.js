"use strict";
// Sorting and printing only: without scripts the page says the same.
const table = document.getElementById("leaderboard");

function value(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? (cell.classList.contains("num") ? null : cell.textContent.trim());
  return text !== null && cell.classList.contains("num") ? Number(text) : text;
}

function sort(header, column) {
  const first = header.dataset.better === "1" ? "descending" : "ascending";
  const other = first === "ascending" ? "descending" : "ascending";
  const order = header.getAttribute("aria-sort") === first ? other : first;
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", order);
  table.classList.add("mixed"); // no longer in groups of one product
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [x, y] = [value(a, column), value(b, column)];
    if (x === null || y === null) return (x === null) - (y === null); // no figure: always last
    return sign * (typeof x === "number" ? x - y : x.localeCompare(y));
  });
  table.tBodies[0].append(...rows);
}

if (table) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(header, column));
    header.append(button);
  });
}

function show() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") target.open = true;
}
addEventListener("hashchange", show);
show();

addEventListener("click", (event) => {
  if (event.target.closest("a[href^='#']")) setTimeout(show); // the same link twice
});
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details")) each.open = true;
  for (const each of document.images) each.loading = "eager";
});
