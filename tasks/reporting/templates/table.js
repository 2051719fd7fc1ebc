// A click on a heading sorts the leaderboard.
const table = document.getElementById("table");

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
  table.classList.add("mixed"); // no longer grouped by product
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [x, y] = [value(a, column), value(b, column)];
    if (x === null || y === null) return (x === null) - (y === null); // no figure: always last
    return sign * (typeof x === "number" ? x - y : x.localeCompare(y));
  });
  table.tBodies[0].append(...rows);
}

for (const [column, header] of [...(table?.tHead.rows[0].cells ?? [])].entries()) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...header.childNodes);
  button.addEventListener("click", () => sort(header, column));
  header.append(button);
}
