{
  // Labels that the models doubt, one after the other: a person says what each image is.
  const KEYS = { k: "keep", g: "good", x: "drop", s: "later", u: "undo" };

  function opinion(model, i) {
    const row = document.createElement("tr");
    const decided = decide(model.scores[i], model.threshold, model.accept);
    const cell = (text, className = "") => row.append(Object.assign(document.createElement("td"), { textContent: text, className }));
    row.append(Object.assign(document.createElement("th"), { textContent: model.title, scope: "row" }));
    cell(decided, { good: "pass", review: "doubt", defect: "fail" }[decided] ?? "");
    cell(`score ${model.scores[i].toPrecision(4)}, threshold ${model.threshold === null ? "–" : model.threshold.toPrecision(4)}`, "aside");
    return row;
  }

  function views(product, models, path) {
    const i = products[product].images.findIndex((image) => image.path === path);
    const model = models.find((each) => each.rows[i] >= 0);
    const found = model ? ["image", "seen"].map((kind) => pane(product, model, i, kind)).filter(Boolean) : [];
    for (const image of found.flatMap((each) => [...each.querySelectorAll("img")])) image.loading = "eager";
    if (found.length) return found;
    const place = products[product].originals[path];
    return place === undefined ? [] : [photo(pictureOf(product, "images", "image", place), "original", path)];
  }

  function inARow(section) {
    const { product } = section.dataset;
    const part = (name) => section.querySelector(name);
    const [by, reason] = ["by", "reason"].map((name) => part(`[name=${name}]`));
    const [told, undo] = [part(".told span"), part("[data-say=undo]")];
    const types = JSON.parse(section.dataset.types);
    const waiting = JSON.parse(section.dataset.doubts); // the first one is shown
    const total = waiting.length;
    const present = products[product].models.filter((model) => !model.key.startsWith("release-"));
    const models = [...present].sort((a, b) => (b.verdict === "champion") - (a.verdict === "champion"));
    let last = null; // what was said last: the doubt, and the label it was given
    let meant = ""; // what was said before it was known who says it, and why
    let busy = false;

    function show() {
      const [doubt] = waiting;
      part(".doubted").hidden = !doubt;
      part(".rest").textContent = doubt ? `${total - waiting.length + 1} of ${total}` : `All ${total} are looked at. What you corrected applies from the next run on: Run… on the page of ${product}`;
      if (!doubt) return;
      part(".views").replaceChildren(...views(product, models, doubt.path));
      part(".label").textContent = doubt.label;
      part(".suggested").textContent = `rather ${doubt.suggested}: ${doubt.against.length} of ${doubt.asked} models are against it`;
      part(".path").textContent = doubt.path;
      const i = products[product].images.findIndex((image) => image.path === doubt.path);
      part(".opinions tbody").replaceChildren(...models.filter((model) => i >= 0 && model.scores[i] !== null).map((model) => opinion(model, i)));
      part("[data-say=good]").hidden = doubt.label === "good";
      for (const button of part(".types").children) button.hidden = button.dataset.say === doubt.label;
    }

    async function say(what) {
      if (busy || (what === "undo" ? !last : !waiting.length)) return;
      if (what === "later") {
        waiting.push(waiting.shift());
        return show();
      }
      fillName(by);
      const missing = [by, reason].find((field) => !field.value.trim());
      meant = missing ? what : "";
      if (missing) {
        told.textContent = "Say who you are and why, then press Enter.";
        return missing.focus();
      }
      keepName(by);
      const who = { by: by.value, reason: reason.value };
      busy = true;
      part(":scope > .fail").textContent = "";
      try {
        if (what === "undo") await takeBack(who);
        else await give(what, who);
      } catch (error) {
        part(":scope > .fail").textContent = error.message;
      }
      busy = false;
      show();
    }

    async function give(what, who) {
      const [doubt] = waiting;
      const about = { ...who, image: doubt.path, seen: doubt.label };
      if (what === "keep") await ask(`/products/${product}/keep`, about);
      else await ask(`/products/${product}/label`, { ...about, label: what });
      last = { doubt, label: what === "keep" ? doubt.label : what };
      waiting.shift();
      told.textContent = what === "keep" ? `${doubt.path} stays ${doubt.label}.` : what === "drop" ? `${doubt.path} is left out.` : `${doubt.path} is now ${what}.`;
      undo.hidden = false;
    }

    async function takeBack(who) {
      await ask(`/products/${product}/withdraw`, { ...who, image: last.doubt.path, seen: last.label });
      waiting.unshift(last.doubt);
      told.textContent = `${last.doubt.path} is as before.`;
      last = null;
      undo.hidden = true;
    }

    types.forEach((type, place) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: type });
      button.dataset.say = type;
      if (place < 9) button.append(" ", Object.assign(document.createElement("kbd"), { textContent: place + 1 }));
      part(".types").append(button);
    });
    document.addEventListener("progress", () => { // who it is with a token is known from then on
      fillName(by);
      by.parentElement.hidden = by.readOnly;
    });
    part(".who").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !meant) return;
      event.target.blur(); // the next key is said of the next label
      say(meant);
    });
    section.addEventListener("click", (event) => {
      const button = event.target.closest("[data-say]");
      if (button) say(button.dataset.say);
    });
    addEventListener("keydown", (event) => {
      if (!section.checkVisibility() || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || event.target.matches("input, select, textarea")) return;
      const what = KEYS[event.key] ?? types[Number(event.key) - 1];
      if (!what || document.documentElement.classList.contains("readonly")) return;
      event.preventDefault();
      say(what);
    });
    section.closest(".page").addEventListener("turned", show);
  }
  for (const section of document.querySelectorAll(".board.row")) inARow(section);
}
