// One large picture at a time; arrow keys show the next one.
const viewer = document.getElementById("viewer");
let looking = null;

function look(product, models, chosen, i) {
  looking = { product, models, chosen, at: chosen.indexOf(i) };
  turnTo(0);
  zoom.reset();
  viewer.showModal();
}

function turnTo(step) {
  const { product, models, chosen } = looking;
  looking.at = (looking.at + step + chosen.length) % chosen.length;
  const i = chosen[looking.at];
  const image = products[product].images[i];
  const kinds = models.length > 1 ? ["seen"] : ["heat", "contour", "mask", "rebuilt"];
  const panes = [pane(product, models[0], i, models.length > 1 ? "truth" : "image"), ...models.flatMap((model) => kinds.map((kind) => titled(pane(product, model, i, kind), models.length > 1 ? model.title : kind)))];
  viewer.querySelector(".large").replaceChildren(...[titled(panes[0], "image"), ...panes.slice(1)].filter(Boolean));
  viewer.querySelector("[name=place]").value = `${looking.at + 1} of ${chosen.length}`;
  const told = models.map((model) => (model.scores[i] === null ? "" : `${models.length > 1 ? `${model.title}: ` : ""}${model.scores[i].toPrecision(4)} ${outcomeOf(image.label, decide(model.scores[i], model.tried ?? model.threshold, model.accept))}`));
  viewer.querySelector(".what").textContent = [image.path, image.label, image.severity, ...told].filter(Boolean).join(" · ");
  Object.assign(viewer.dataset, { product, model: models[0].key, index: models[0].rows[i], path: image.path, label: image.label });
  viewer.dispatchEvent(new CustomEvent("shown", { bubbles: true }));
}

function titled(each, title) {
  if (!each) return null;
  const figure = document.createElement("figure");
  const words = { heat: "heat map", rebuilt: "reconstruction" };
  figure.append(each, Object.assign(document.createElement("figcaption"), { textContent: words[title] ?? title }));
  return figure;
}

viewer.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || event.shiftKey || event.target.matches("input, select, textarea")) return;
  event.preventDefault();
  turnTo(step);
});
// focus the tile of the last picture; the list may have been drawn again in the meantime
viewer.addEventListener("close", () => {
  const list = document.querySelector(".page.shown .tiles:not(.strip)");
  if (list) focusOn(list, viewer.dataset.path);
});
viewer.querySelector("[name=before]").addEventListener("click", () => turnTo(-1));
viewer.querySelector("[name=after]").addEventListener("click", () => turnTo(1));
viewer.querySelector("[name=strength]").addEventListener("input", (event) => viewer.style.setProperty("--strength", event.target.value / 100));
