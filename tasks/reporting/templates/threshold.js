// The data of each product, and the decisions at other thresholds.
const products = {};
for (const each of document.querySelectorAll("script.data")) {
  products[each.dataset.product] = JSON.parse(each.textContent);
}
const modelOf = (product, key) => products[product].models.find((model) => model.key === key);

// The same decision as in the line: above the threshold a defect, above `accept` a review.
function decide(score, threshold, accept) {
  if (threshold === null) return "";
  if (score > threshold) return "defect";
  return accept !== null && score > accept ? "review" : "good";
}

function outcomeOf(label, decision) {
  if (decision === "" || decision === "review") return decision || "not decided";
  if (label === "good") return decision === "good" ? "passed" : "false alarm";
  return decision === "good" ? "missed" : "found";
}
const isWrong = (outcome) => outcome === "missed" || outcome === "false alarm";

function tally(product, model, threshold) {
  const counts = { good: { accepted: 0, review: 0, rejected: 0 }, defective: { accepted: 0, review: 0, rejected: 0 } };
  const names = { good: "accepted", review: "review", defect: "rejected" };
  products[product].images.forEach((image, i) => {
    if (model.scores[i] === null) return;
    counts[image.label === "good" ? "good" : "defective"][names[decide(model.scores[i], threshold, model.accept)]] += 1;
  });
  return counts;
}

const total = (counts) => counts.accepted + counts.review + counts.rejected;
const percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)}%` : "–");

function mark(page, value, model, counts) {
  const plot = page.querySelector(".scores");
  const { low, high, wide } = plot.dataset;
  const line = plot.querySelector(".tried");
  line?.setAttribute("transform", `translate(${((value - low) / (high - low)) * wide} 0)`);
  line?.classList.toggle("shown", value !== model.threshold);
  const dot = page.querySelector(".roc .tried");
  if (!dot) return;
  const side = dot.ownerSVGElement.dataset.side;
  dot.setAttribute("cx", (side * counts.good.rejected) / total(counts.good));
  dot.setAttribute("cy", (side * counts.defective.accepted) / total(counts.defective));
  dot.classList.toggle("shown", value !== model.threshold);
}

// The number with the fewest digits in low <= number < high, near the middle.
function roundest(low, high) {
  const middle = (low + high) / 2;
  for (let digits = 1; digits < 17; digits += 1) {
    const value = Number(middle.toPrecision(digits));
    if (value >= low && value < high) return value;
  }
  return middle;
}

function slide(form) {
  const { product, model: key } = form.dataset;
  const model = modelOf(product, key);
  const { step: range, exact, back } = form.elements;
  const steps = [...new Set(model.scores.filter((score) => score !== null))].sort((a, b) => a - b);
  range.max = steps.length;
  for (const each of form.querySelectorAll("[data-review]")) each.hidden = model.accept === null;

  function show(value) {
    const counts = tally(product, model, value);
    for (const cell of form.querySelectorAll("[data-count]")) {
      const [label, kind] = cell.dataset.count.split(".");
      cell.textContent = counts[label][kind];
    }
    const { value: text, overkill, miss, review } = form.elements;
    text.value = form.dataset.value = value;
    overkill.value = percent(counts.good.rejected, total(counts.good));
    miss.value = percent(counts.defective.accepted, total(counts.defective));
    review.value = percent(counts.good.review + counts.defective.review, total(counts.good) + total(counts.defective));
    range.setAttribute("aria-valuetext", `${value.toPrecision(4)}: ${miss.value} missed, ${overkill.value} overkill`);
    mark(form.closest(".page"), value, model, counts);
    model.tried = value;
    form.dispatchEvent(new CustomEvent("threshold", { bubbles: true, detail: { product, model: key, value } }));
  }

  const below = (value) => steps.filter((score) => score <= value).length;
  const place = (value) => (range.value = below(value));
  // four digits or, where they would decide otherwise, as many as it takes; the exact one is kept
  function brief(value) {
    for (let digits = 4; digits < 17; digits += 1) {
      const short = Number(value.toPrecision(digits));
      if (below(short) === below(value)) return short;
    }
    return value;
  }
  // all thresholds from one score up to the next decide the same: use the roundest near the middle
  const at = (step) =>
    step === 0 ? steps[0] - 1e-6 * Math.abs(steps[0]) : step === steps.length ? steps[step - 1] : roundest(steps[step - 1], steps[step]);
  function to(value) {
    exact.value = brief(value);
    exact.title = value;
    show(value);
  }
  function reset() {
    place(model.threshold);
    to(model.threshold);
  }
  range.addEventListener("input", () => to(at(Number(range.value))));
  exact.addEventListener("input", () => {
    if (!Number.isFinite(exact.valueAsNumber)) return;
    place(exact.valueAsNumber);
    show(exact.valueAsNumber);
  });
  back.addEventListener("click", reset);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  reset();
}
for (const form of document.querySelectorAll("form.slider")) slide(form);
