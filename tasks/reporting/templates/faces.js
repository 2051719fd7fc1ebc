// The pictures that stand for a model, drawn when they come into view; each opens in the viewer.
const facing = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    facing.unobserve(entry.target);
    face(entry.target);
  }
}, { rootMargin: "400px" });

function face(figure) {
  const { product, model: key } = figure.closest(".faces").dataset;
  const model = modelOf(product, key);
  const indexOf = (each) => products[product].images.findIndex((image) => image.path === each.dataset.path);
  const i = indexOf(figure);
  const shown = i < 0 ? null : pane(product, model, i, "seen");
  if (!shown) return;
  for (const image of shown.querySelectorAll("img")) image.loading = "eager"; // it is in view
  const button = Object.assign(document.createElement("button"), { type: "button", className: "panes" });
  button.setAttribute("aria-label", `${figure.dataset.path}, enlarge`);
  button.append(shown);
  const together = () => [...figure.parentElement.children].map(indexOf).filter((at) => at >= 0);
  button.addEventListener("click", () => look(product, [model], together(), i));
  figure.prepend(button);
}
addEventListener("DOMContentLoaded", () => { // when all pictures are there
  for (const figure of document.querySelectorAll(".faces figure")) facing.observe(figure);
});
