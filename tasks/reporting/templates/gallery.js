// Test images as tiles, worst first; tiles are added when they become visible.
const STEP = 48;

const wrongness = (label, score, model) => (score - (model.tried ?? model.threshold ?? 0)) * (label === "good" ? 1 : -1);

// The tile of an image, if it is shown.
function focusOn(list, path) {
  const tile = [...list.children].find((each) => each.querySelector(".path").title === path);
  tile?.querySelector("button")?.focus();
}

// Fill a list of tiles piece by piece. make(i) gives a tile; open(i) is called when it is chosen.
function filling(section, make) {
  const list = section.querySelector(".tiles");
  const [none, more] = [section.querySelector(".tiles ~ .none"), section.querySelector(".more button")];
  let chosen = [];
  let shown = 0;
  function add() {
    list.append(...chosen.slice(shown, shown + STEP).map(make));
    shown = Math.min(shown + STEP, chosen.length);
    more.hidden = shown >= chosen.length;
  }
  more.addEventListener("click", () => {
    const next = shown;
    add();
    list.children[next]?.querySelector("button").focus();
  });
  new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && shown && add(), { rootMargin: "600px" }).observe(more);
  return (images) => {
    const held = list.contains(document.activeElement) && document.activeElement.closest("li");
    chosen = images;
    shown = 0;
    list.replaceChildren();
    none.hidden = images.length > 0;
    add();
    if (held) focusOn(list, held.querySelector(".path").title);
  };
}

function describe(tile, image, model, i) {
  const outcome = outcomeOf(image.label, decide(model.scores[i], model.tried ?? model.threshold, model.accept));
  const [score, result] = [tile.querySelector(".score"), tile.querySelector(".outcome")];
  score.textContent = model.scores[i] === null ? "–" : model.scores[i].toPrecision(4);
  result.textContent = model.scores[i] === null ? "not tested" : outcome;
  result.className = `outcome ${isWrong(outcome) ? "fail" : outcome === "review" ? "doubt" : "pass"}`;
}

function name(tile, image) {
  tile.querySelector(".label").textContent = image.label;
  tile.querySelector(".severity").textContent = image.severity;
  tile.querySelector(".path").textContent = image.path.split("/").pop();
  tile.querySelector(".path").title = image.path;
  tile.querySelector("button").setAttribute("aria-label", `${image.path}, enlarge`);
}

function gallery(section) {
  const { product, model: key } = section.dataset;
  const model = modelOf(product, key);
  const { images } = products[product];
  const form = section.querySelector("form");
  const kinds = () => [...form.querySelectorAll("[name=pane]:checked")].map((box) => box.value);
  let chosen = [];
  const there = { mask: images.some((image) => image.masked), rebuilt: model.rebuilt };
  for (const box of form.querySelectorAll("[name=pane]")) box.closest("label").hidden = there[box.value] === false;
  section.querySelector(".truth").hidden = !there.mask;

  const fill = filling(section, (i) => {
    const tile = document.getElementById("tile").content.cloneNode(true).firstElementChild;
    const panes = kinds().map((kind) => pane(product, model, i, kind)).filter(Boolean);
    tile.querySelector(".panes").append(...panes);
    tile.classList.toggle("bare", !panes.length);
    name(tile, images[i]);
    describe(tile, images[i], model, i);
    tile.querySelector("button").addEventListener("click", () => look(product, [model], chosen, i));
    return tile;
  });

  function draw() {
    const { label, severity, outcome, order, count } = form.elements;
    const worth = (i) => {
      const found = outcomeOf(images[i].label, decide(model.scores[i], model.tried ?? model.threshold, model.accept));
      return outcome.value === "" || outcome.value === found || (outcome.value === "wrong" && isWrong(found));
    };
    chosen = images.map((_, i) => i).filter((i) => model.scores[i] !== null && (!label.value || images[i].label === label.value) && (!severity.value || images[i].severity === severity.value) && worth(i));
    const by = {
      worst: (i, j) => wrongness(images[j].label, model.scores[j], model) - wrongness(images[i].label, model.scores[i], model),
      score: (i, j) => model.scores[j] - model.scores[i],
      path: (i, j) => images[i].path.localeCompare(images[j].path),
    };
    chosen.sort(by[order.value]);
    count.value = `${chosen.length} of ${model.scores.filter((score) => score !== null).length} images`;
    section.style.setProperty("--panes", Math.max(1, kinds().length));
    fill(chosen);
  }

  const page = section.closest(".page");
  let stale = true;
  let waiting = 0;
  const soon = () => {
    stale = true;
    clearTimeout(waiting);
    waiting = setTimeout(() => page.classList.contains("shown") && update(), 150);
  };
  function update() {
    if (stale) draw();
    stale = false;
  }
  form.addEventListener("input", () => ((stale = true), update()));
  form.addEventListener("submit", (event) => event.preventDefault());
  page.addEventListener("threshold", soon);
  page.addEventListener("turned", update);
}
for (const section of document.querySelectorAll("section.gallery")) gallery(section);

// The defects that pass, on the page of a product.
for (const strip of document.querySelectorAll(".strip")) {
  strip.closest(".page").addEventListener("turned", () => {
    if (strip.children.length) return;
    const { product, model: key } = strip.dataset;
    const model = modelOf(product, key);
    for (const path of JSON.parse(strip.dataset.paths)) {
      const i = products[product].images.findIndex((image) => image.path === path);
      const shown = i < 0 ? null : pane(product, model, i, "seen");
      const tile = document.createElement("li");
      const words = Object.assign(document.createElement("p"), { textContent: i < 0 ? path : `${products[product].images[i].label}, ${model.scores[i].toPrecision(4)}` });
      words.title = path;
      tile.append(...[shown, words].filter(Boolean));
      strip.append(tile);
    }
  });
}
