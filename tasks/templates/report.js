"use strict";
// Sorting, trying thresholds, printing: without scripts the page says the same.
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

// How many parts would be accepted, sent to review and rejected: as the line decides, a score
// above the threshold is a defect, one above `accept` is for a person to look at.
function decide(scores, threshold, accept) {
  const rejected = scores.filter((score) => score > threshold).length;
  const doubted = accept === null ? 0 : scores.filter((score) => score > accept && score <= threshold).length;
  return { accepted: scores.length - doubted - rejected, review: doubted, rejected };
}

const percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)}%` : "–");

function slide(form) {
  const { threshold, accept, good, defective } = JSON.parse(form.dataset.scores);
  const steps = [...new Set([...good, ...defective])].sort((a, b) => a - b);
  const range = form.elements.step;
  const plot = form.parentElement.querySelector(".scores");
  range.max = steps.length;
  for (const each of form.querySelectorAll("[data-review]")) each.hidden = accept === null;

  function draw(value) {
    const counts = { good: decide(good, value, accept), defective: decide(defective, value, accept) };
    for (const cell of form.querySelectorAll("[data-count]")) {
      const [label, kind] = cell.dataset.count.split(".");
      cell.textContent = counts[label][kind];
    }
    const review = counts.good.review + counts.defective.review;
    form.elements.value.value = value.toPrecision(4);
    form.elements.exact.value = value;
    form.elements.overkill.value = percent(counts.good.rejected, good.length);
    form.elements.miss.value = percent(counts.defective.accepted, defective.length);
    form.elements.review.value = percent(review, good.length + defective.length);
    const { low, high, wide } = plot.dataset;
    const line = plot.querySelector(".tried");
    line?.setAttribute("transform", `translate(${((value - low) / (high - low)) * wide} 0)`);
    line?.classList.toggle("shown", value !== threshold);
  }

  function back() {
    range.value = steps.filter((score) => score <= threshold).length;
    draw(threshold);
  }
  // between two scores any threshold decides the same: the middle stands for all
  const at = (step) =>
    step === 0 ? steps[0] - 1e-6 * Math.abs(steps[0]) : step === steps.length ? steps[step - 1] : (steps[step - 1] + steps[step]) / 2;
  range.addEventListener("input", () => draw(at(Number(range.value))));
  form.elements.back.addEventListener("click", back);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  back();
}
for (const form of document.querySelectorAll("form.slider")) slide(form);

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
