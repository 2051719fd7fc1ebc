// Pictures: out of the lines at the end of this file, or asked for where the page is served.
const served = document.getElementById("content").dataset.pictures;
const albums = {};

function lines(product) {
  if (!albums[product]) {
    const text = document.querySelector(`script.album[data-product="${CSS.escape(product)}"]`)?.textContent ?? "";
    const found = new Map();
    for (const line of text.split("\n")) {
      const space = line.indexOf(" ");
      if (space > 0) found.set(line.slice(0, space), line.slice(space + 1));
    }
    albums[product] = found;
  }
  return albums[product];
}

// The address of a picture, or null where none is kept.
function pictureOf(product, model, kind, row) {
  if (served) return `${served}/${encodeURIComponent(product)}/${encodeURIComponent(model)}/${kind}/${row}`;
  const bytes = lines(product).get(`${model}/${kind}/${row}`);
  return bytes ? `data:image/webp;base64,${bytes}` : null;
}
const outlineOf = (product, model, kind, row) => lines(product).get(`${model}/${kind}/${row}`) ?? "";

function photo(address, name, words) {
  const image = new Image();
  image.className = name;
  image.loading = "lazy";
  image.decoding = "async";
  image.alt = words;
  image.addEventListener("error", () => image.remove()); // none is kept
  image.src = address;
  return image;
}

// One view of a test image by a model: image, heat, contour, mask or rebuilt; null where there is none.
function pane(product, model, i, kind) {
  const image = products[product].images[i];
  const row = model.rows[i];
  if (!image.from || row < 0) return null;
  const base = products[product].models.find((each) => each.key === image.from).rows[i];
  const [width, height] = image.size;
  const found = document.getElementById("pane").content.cloneNode(true).firstElementChild;
  const drawing = found.querySelector("svg");
  found.classList.add(kind);
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const add = (of, what, name, words) => {
    const address = pictureOf(product, of, what, what === "image" ? base : row);
    if (address) found.prepend(photo(address, name, words));
    return address;
  };
  if (kind === "rebuilt") {
    if (!add(model.key, "rebuilt", "photo", `reconstruction of ${image.path}`)) return null;
  } else if (kind !== "mask") {
    if (kind === "heat") add(model.key, "heat", "heat", `heat map of ${image.path}`);
    add(image.from, "image", "photo", kind === "image" ? image.path : "");
  }
  const outlines = { found: kind === "contour" && outlineOf(product, model.key, "found", row), drawn: (kind === "contour" || kind === "mask") && outlineOf(product, image.from, "mask", base) };
  if (kind === "mask" && image.label !== "good" && !outlines.drawn) return null;
  for (const [name, path] of Object.entries(outlines)) {
    const line = drawing.querySelector(`.${name}`);
    line.setAttribute("d", path || "");
    line.previousElementSibling.setAttribute("d", path || "");
  }
  found.style.aspectRatio = `${width} / ${height}`;
  return found;
}

for (const page of document.querySelectorAll(".page.data")) {
  page.addEventListener("turned", () => {
    for (const image of page.querySelectorAll("img.original:not([src])")) {
      const row = products[page.dataset.product].originals[image.dataset.path];
      const address = row === undefined ? null : pictureOf(page.dataset.product, "images", "image", row);
      if (address) image.src = address;
      else image.replaceWith(Object.assign(document.createElement("span"), { className: "none", textContent: "not at hand" }));
    }
  });
}
