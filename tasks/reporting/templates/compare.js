// Two models on the same images.
function compare(page) {
  const { product } = page.dataset;
  const { images } = products[product];
  const form = page.querySelector("form");
  const side = (name) => ({ ...modelOf(product, form.elements[name].value), tried: null }); // the present threshold
  let chosen = [];

  const wrong = (model, i) => isWrong(outcomeOf(images[i].label, decide(model.scores[i], model.threshold, model.accept)));
  const wrongIn = (a, b, i) => ["neither", "a", "b", "both"][Number(wrong(a, i)) + 2 * Number(wrong(b, i))];

  const fill = filling(page, (i) => {
    const [a, b] = [side("a"), side("b")];
    const tile = document.getElementById("pair").content.cloneNode(true).firstElementChild;
    tile.querySelector(".panes").append(...[pane(product, a, i, "truth"), pane(product, a, i, "seen"), pane(product, b, i, "seen")].filter(Boolean));
    name(tile, images[i]);
    tile.querySelectorAll(".side").forEach((part, place) => describe(part, images[i], [a, b][place], i));
    tile.querySelector("button").addEventListener("click", () => look(product, [a, b], chosen, i));
    return tile;
  });

  // scores of two models have different scales, so compare ranks among the same images
  function ranks(model, both) {
    const order = [...both].sort((i, j) => model.scores[i] - model.scores[j]);
    return new Map(order.map((i, place) => [i, place / order.length]));
  }

  function draw() {
    const [a, b] = [side("a"), side("b")];
    const { label, severity, outcome, order, count } = form.elements;
    const both = images.map((_, i) => i).filter((i) => a.scores[i] !== null && b.scores[i] !== null);
    for (const cell of page.querySelectorAll("[data-count]")) {
      const [kind, which] = cell.dataset.count.split(".");
      cell.textContent = both.filter((i) => (images[i].label === "good") === (kind === "good") && wrongIn(a, b, i) === which).length;
    }
    const wanted = { "": () => true, differ: (v) => v === "a" || v === "b", a: (v) => v === "a", b: (v) => v === "b", both: (v) => v === "both" }[outcome.value];
    chosen = both.filter((i) => (!label.value || images[i].label === label.value) && (!severity.value || images[i].severity === severity.value) && wanted(wrongIn(a, b, i)));
    const [ra, rb] = [ranks(a, both), ranks(b, both)];
    const apart = (i) => Math.abs(ra.get(i) - rb.get(i));
    const by = {
      apart: (i, j) => apart(j) - apart(i),
      a: (i, j) => wrongness(images[j].label, a.scores[j], a) - wrongness(images[i].label, a.scores[i], a),
      b: (i, j) => wrongness(images[j].label, b.scores[j], b) - wrongness(images[i].label, b.scores[i], b),
      path: (i, j) => images[i].path.localeCompare(images[j].path),
    };
    chosen.sort(by[order.value]);
    count.value = `${chosen.length} of ${both.length} images that both tested`;
    fill(chosen);
  }
  let drawn = false;
  form.addEventListener("input", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
  page.addEventListener("turned", () => {
    if (!drawn) draw();
    drawn = true;
  });
}
for (const page of document.querySelectorAll(".page.compare")) compare(page);
