// Pictures: from the lines at the end of this file, or from the server of the page.
const served = document.getElementById("content").dataset.pictures;
const linesOf = {};

function lines(product) {
  if (!linesOf[product]) {
    const text = document.querySelector(`script.pictures[data-product="${CSS.escape(product)}"]`)?.textContent ?? "";
    const found = new Map();
    for (const line of text.split("\n")) {
      const space = line.indexOf(" ");
      if (space > 0) found.set(line.slice(0, space), line.slice(space + 1));
    }
    linesOf[product] = found;
  }
  return linesOf[product];
}

// The address of a picture, or null if there is none.
function pictureOf(product, model, kind, row) {
  if (served) return `${served}/${encodeURIComponent(product)}/${encodeURIComponent(model)}/${kind}/${row}`;
  const bytes = lines(product).get(`${model}/${kind}/${row}`);
  return bytes ? `data:image/webp;base64,${bytes}` : null;
}
const outlineOf = (product, model, kind, row) => lines(product).get(`${model}/${kind}/${row}`) ?? "";

function photo(address, kind, words) {
  const image = new Image();
  image.className = kind;
  image.loading = "lazy";
  image.decoding = "async";
  image.alt = words;
  image.addEventListener("error", () => image.remove()); // there is none
  image.src = address;
  return image;
}

// The layers of each view of a test image, from the bottom up.
const VIEWS = {
  image: { pictures: ["image"], lines: [] },
  heat: { pictures: ["image", "heat"], lines: [] },
  contour: { pictures: ["image"], lines: ["found", "mask"] },
  mask: { pictures: [], lines: ["mask"] },
  rebuilt: { pictures: ["rebuilt"], lines: [] },
  truth: { pictures: ["image"], lines: ["mask"] }, // side by side: the labelled truth,
  seen: { pictures: ["image", "heat"], lines: ["found"] }, // and the result of a model
};

// A view of a test image by a model, or null if there is none.
function pane(product, model, i, kind) {
  const image = products[product].images[i];
  const row = model.rows[i];
  if (!image.from || row < 0 || (kind === "rebuilt" && !model.rebuilt)) return null;
  const base = products[product].models.find((each) => each.key === image.from).rows[i];
  const [width, height] = image.size;
  const found = document.getElementById("pane").content.cloneNode(true).firstElementChild;
  const drawing = found.querySelector("svg");
  found.classList.add(kind);
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  for (const what of VIEWS[kind].pictures) {
    const [of, place] = what === "image" ? [image.from, base] : [model.key, row];
    const address = pictureOf(product, of, what, place);
    const words = { image: "", heat: "heat map of ", rebuilt: "reconstruction of " }[what] + image.path;
    if (address) drawing.before(photo(address, what, words));
    else if (what === kind) return null;
  }
  for (const what of VIEWS[kind].lines) {
    const [of, place] = what === "mask" ? [image.from, base] : [model.key, row];
    const path = outlineOf(product, of, what, place);
    if (kind === "mask" && !path) return null; // there is no mask
    for (const line of drawing.querySelectorAll(`.${what}`)) line.setAttribute("d", path);
  }
  found.style.aspectRatio = `${width} / ${height}`;
  return found;
}

// Good images that set the threshold: the image with its heat map.
for (const page of document.querySelectorAll(".page.model")) {
  page.addEventListener("turned", () => {
    for (const tile of page.querySelectorAll(".edge li:not(.drawn)")) {
      tile.classList.add("drawn");
      const { product, model } = page.dataset;
      const found = document.getElementById("pane").content.cloneNode(true).firstElementChild;
      for (const kind of ["edge_image", "edge_heat"]) {
        const address = pictureOf(product, model, kind, tile.dataset.place);
        if (!address) continue;
        const image = photo(address, kind.slice(5), kind === "edge_heat" ? `heat map of ${tile.dataset.path}` : tile.dataset.path);
        image.loading = "eager";
        image.addEventListener("load", () => (found.style.aspectRatio = `${image.naturalWidth} / ${image.naturalHeight}`));
        found.querySelector("svg").before(image);
      }
      if (found.querySelector("img")) tile.prepend(found);
    }
  });
}

for (const page of document.querySelectorAll(".page.data")) {
  page.addEventListener("turned", () => {
    for (const image of page.querySelectorAll("img.original:not([src])")) {
      const row = products[page.dataset.product].originals[image.dataset.path];
      const address = row === undefined ? null : pictureOf(page.dataset.product, "images", "image", row);
      if (address) image.src = address;
      else image.replaceWith(Object.assign(document.createElement("span"), { className: "none", textContent: "no picture" }));
    }
  });
}
