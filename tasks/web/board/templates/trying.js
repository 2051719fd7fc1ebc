{
  // Pictures that a person tries on a champion: one request each, one after the other.
  const MOST = 12; // results that stay on the page
  const VERDICTS = { good: "pass", review: "doubt", defect: "fail" };

  async function inspect(product, file) {
    const answer = await fetch(`/products/${encodeURIComponent(product)}/try`, {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream", "X-Inspectline": "board" },
      body: file,
    });
    const told = await answer.json().catch(() => ({}));
    if (answer.status === 401) location.assign("/login" + location.hash);
    if (!answer.ok) throw new Error(told.error ?? `the board answers ${answer.status}`);
    return told;
  }

  function drawn(told, kinds) {
    const found = document.getElementById("pane").content.cloneNode(true).firstElementChild;
    const drawing = found.querySelector("svg");
    drawing.setAttribute("viewBox", `0 0 ${told.size[0]} ${told.size[1]}`);
    for (const kind of kinds) drawing.before(Object.assign(new Image(), { className: kind, alt: "", src: `data:image/webp;base64,${told[kind]}` }));
    if (kinds.includes("heat")) for (const line of drawing.querySelectorAll(".found")) line.setAttribute("d", told.found);
    found.classList.add(kinds.includes("heat") ? "seen" : "plain");
    found.style.aspectRatio = `${told.size[0]} / ${told.size[1]}`;
    return found;
  }

  function words(element, className, text) {
    return Object.assign(document.createElement(element), { className, textContent: text });
  }

  function result(name, told) {
    const item = document.createElement("li");
    const line = words("p", "verdict", "");
    line.append(words("b", VERDICTS[told.decision] ?? "", told.decision), words("b", "num", told.displayed_text), words("span", "aside", `above 100 is a defect; score ${told.score.toPrecision(4)}, threshold ${told.threshold.toPrecision(4)}`), words("span", "aside", `${told.ms.toFixed(0)} ms`), words("span", "aside", `${told.algorithm} ${told.release.slice(0, 8)}`), words("span", "path", name));
    const pair = words("div", "views", "");
    pair.append(drawn(told, ["image"]), drawn(told, ["image", "heat"]));
    item.append(line, pair);
    return item;
  }

  function refusal(name, reason) {
    const item = document.createElement("li");
    item.append(words("p", "fail", reason), words("p", "path", name));
    return item;
  }

  for (const section of document.querySelectorAll(".trying")) {
    const [choice, busy, list] = ["input", ".busy", ".tried"].map((one) => section.querySelector(one));
    let last = Promise.resolve(); // one after the other, whatever comes meanwhile

    async function show(file) {
      busy.textContent = `inspecting ${file.name}…`;
      try {
        list.prepend(result(file.name, await inspect(section.dataset.product, file)));
      } catch (error) {
        list.prepend(refusal(file.name, error.message));
      }
      while (list.children.length > MOST) list.lastElementChild.remove();
      busy.textContent = "";
    }
    const take = (files) => [...files].forEach((file) => (last = last.then(() => show(file))));

    choice.addEventListener("change", () => {
      take(choice.files);
      choice.value = "";
    });
    section.addEventListener("dragover", (event) => {
      event.preventDefault();
      section.classList.add("over");
    });
    section.addEventListener("dragleave", () => section.classList.remove("over"));
    section.addEventListener("drop", (event) => {
      event.preventDefault();
      section.classList.remove("over");
      take(event.dataTransfer.files);
    });
  }
}
