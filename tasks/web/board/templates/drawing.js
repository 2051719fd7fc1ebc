{
  // Draw the mask of a defect image, at the image's own size.
  const dialog = document.getElementById("drawing");
  const form = dialog.querySelector("form");
  const field = form.elements;
  const [paper, sheet, photo, canvas, drawing] = [".paper", ".sheet", ".sheet img", ".sheet canvas", ".sheet svg"].map((each) => dialog.querySelector(each));
  const [corners, ring] = [drawing.querySelector("polyline"), drawing.querySelector("circle")];
  const wrong = dialog.querySelector("[role=alert]");
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const COLOUR = "#56b4e9"; // of masks on all pages
  const [STEP, MOST] = [1.4, 32]; // of zoom: times a step, screen pixels of an image's pixel
  let about = null; // product, image, version of the mask, and where what was done is told
  let start = null; // a canvas: what the drawing began with
  let strokes = []; // what was drawn since, in order
  let open = null; // the stroke or polygon that is being drawn
  let zoom = 1;

  const address = (what) => `/drawing/${encodeURIComponent(about.product)}${what}?image=${encodeURIComponent(about.image)}`;

  function paint(stroke) {
    const { tool, width, points } = stroke;
    pen.globalCompositeOperation = tool === "eraser" ? "destination-out" : "source-over";
    pen.fillStyle = pen.strokeStyle = COLOUR;
    pen.lineCap = pen.lineJoin = "round";
    pen.lineWidth = width;
    pen.beginPath();
    points.forEach(([x, y], place) => (place ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    if (tool === "polygon") return pen.fill();
    if (points.length === 1) pen.lineTo(points[0][0], points[0][1] + 0.01); // a dot
    pen.stroke();
  }

  function repaint() {
    pen.globalCompositeOperation = "source-over";
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (start) pen.drawImage(start, 0, 0);
    strokes.forEach(paint);
    if (open && open.tool !== "polygon") paint(open);
    corners.setAttribute("points", open?.tool === "polygon" ? open.points.map((point) => point.join(",")).join(" ") : "");
  }

  // A mask from the server: what is bright in it, in our colour.
  async function stencil(what) {
    const answer = await fetch(address(what), { cache: "no-store" });
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `the board answers ${answer.status}`);
    const picture = await createImageBitmap(await answer.blob());
    const found = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
    const brush = found.getContext("2d");
    brush.drawImage(picture, 0, 0);
    const pixels = brush.getImageData(0, 0, found.width, found.height);
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(COLOUR.slice(at, at + 2), 16));
    for (let at = 0; at < pixels.data.length; at += 4) pixels.data.set([red, green, blue, pixels.data[at] > 127 ? 255 : 0], at);
    brush.putImageData(pixels, 0, 0);
    return found;
  }

  function scale(times, event) {
    const box = sheet.getBoundingClientRect();
    const [u, v] = event ? [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height] : [0.5, 0.5];
    const fit = Math.min(paper.clientWidth / canvas.width, paper.clientHeight / canvas.height);
    zoom = times ? Math.max(Math.min(fit, 1) / 2, Math.min(MOST, zoom * times)) : fit;
    const [before, beyond] = [box.width, box.height];
    sheet.style.width = `${canvas.width * zoom}px`;
    sheet.style.height = `${canvas.height * zoom}px`;
    sheet.classList.toggle("near", zoom > 2);
    paper.scrollLeft += u * (canvas.width * zoom - before);
    paper.scrollTop += v * (canvas.height * zoom - beyond);
  }

  const at = ({ clientX, clientY }) => {
    const { left, top, width, height } = sheet.getBoundingClientRect();
    return [((clientX - left) * canvas.width) / width, ((clientY - top) * canvas.height) / height];
  };

  function close() {
    if (open?.tool === "polygon" && open.points.length > 2) strokes.push(open);
    open = null;
    repaint();
  }

  const DO = {
    undo: () => {
      if (open) open.points.length > 1 && open.tool === "polygon" ? open.points.pop() : (open = null);
      else strokes.pop();
      repaint();
    },
    found: async () => {
      start = await stencil("/found");
      strokes = [];
      repaint();
    },
    clear: () => {
      start = null;
      strokes = [];
      open = null;
      repaint();
    },
    nearer: () => scale(STEP),
    farther: () => scale(1 / STEP),
    whole: () => scale(0),
    cancel: () => dialog.close(),
  };

  async function begin({ product, path }, told) {
    about = { product, image: path, told };
    const { width, height, mask } = await ask(address(""));
    about.seen = mask;
    Object.assign(canvas, { width, height });
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    photo.src = address("/image");
    dialog.querySelector(".path").textContent = path;
    dialog.querySelector(".size").textContent = `${width} × ${height}`;
    [start, strokes, open] = [mask ? await stencil("/mask") : null, [], null];
    field.width.max = Math.max(10, Math.round(Math.max(width, height) / 5));
    field.width.value = Math.max(2, Math.round(Math.max(width, height) / 40));
    fillName(field.by);
    field.reason.value = "";
    wrong.hidden = true;
    tell();
    repaint();
    dialog.showModal();
    paper.style.height = "";
    scale(0);
    paper.style.height = `${Math.min(paper.offsetHeight, Math.ceil(canvas.height * zoom) + 2)}px`; // no empty paper below
  }

  // The mask as a PNG in base64, bright on black: what is at least half covered is marked.
  async function png() {
    const pixels = pen.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < pixels.data.length; i += 4) pixels.data.fill(pixels.data[i + 3] > 127 ? 255 : 0, i, i + 3), (pixels.data[i + 3] = 255);
    const plain = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
    plain.getContext("2d").putImageData(pixels, 0, 0);
    return plain.toDataURL("image/png").split(",")[1];
  }

  function tell() {
    field.pixels.value = `${field.width.value} px`;
    ring.setAttribute("r", field.tool.value === "polygon" ? 0 : field.width.value / 2);
  }

  sheet.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const tool = field.tool.value;
    if (tool === "polygon") {
      open ??= { tool, points: [] };
      open.points.push(at(event));
    } else {
      sheet.setPointerCapture(event.pointerId);
      open = { tool, width: Number(field.width.value), points: [at(event)] };
    }
    repaint();
  });
  sheet.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    ring.setAttribute("cx", x);
    ring.setAttribute("cy", y);
    if (!open || open.tool === "polygon") return;
    const between = event.getCoalescedEvents?.() ?? [];
    for (const each of between.length ? between : [event]) open.points.push(at(each));
    repaint();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    sheet.addEventListener(end, () => {
      if (!open || open.tool === "polygon") return;
      strokes.push(open);
      open = null;
      repaint();
    });
  }
  sheet.addEventListener("dblclick", close);
  paper.addEventListener("wheel", (event) => {
    event.preventDefault();
    scale(STEP ** (-event.deltaY / 100), event);
  }, { passive: false });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "z" && (event.ctrlKey || event.metaKey) && !event.target.matches("[name=by], [name=reason]")) {
      event.preventDefault();
      DO.undo();
    } else if (event.key === "Enter" && open?.tool === "polygon") {
      event.preventDefault();
      close();
    }
  });
  dialog.addEventListener("cancel", (event) => {
    if (!open && !strokes.length) return;
    event.preventDefault(); // Esc drops a polygon, and loses no drawing
    open = null;
    repaint();
  });
  form.addEventListener("input", () => {
    if (open?.tool === "polygon" && field.tool.value !== "polygon") close();
    tell();
  });
  dialog.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-mask]");
    if (!button) return;
    const save = form.querySelector("[type=submit]");
    wrong.hidden = true;
    button.disabled = save.disabled = true; // what the champion finds takes a moment
    try {
      await DO[button.dataset.mask]();
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
    }
    button.disabled = save.disabled = false;
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    close();
    button.disabled = true;
    wrong.hidden = true;
    keepName(field.by);
    try {
      const { what } = await ask(`/products/${about.product}/mask`, { image: about.image, mask: await png(), seen: about.seen, by: field.by.value, reason: field.reason.value });
      dialog.close();
      about.told.textContent = `${what}. It applies from the next run on: Run… on the page of ${about.product}`;
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
    } finally {
      button.disabled = false;
    }
  });

  const viewing = document.getElementById("viewer");
  viewing.addEventListener("shown", () => {
    viewing.querySelector("[data-draw]").hidden = viewing.dataset.label === "good";
    viewing.querySelector(".corrected").textContent = "";
  });
  addEventListener("click", async (event) => {
    const button = event.target.closest("[data-draw]");
    if (!button) return;
    const { path } = button.dataset; // of a mask on the data page; else of the large picture
    const image = path ? { path, product: button.closest(".page").dataset.product } : viewing.dataset;
    const told = button.parentElement.querySelector(".corrected");
    told.textContent = "";
    try {
      await begin(image, told);
    } catch (error) {
      told.textContent = error.message;
    }
  });
}
