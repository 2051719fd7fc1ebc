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

  // What a person says that the picture shows, beside the champion's opinion: it goes to the images that are to be added.
  function judgement(zone, file, item) {
    const line = words("p", "judge", "");
    line.classList.add("actions");
    const field = Object.assign(document.createElement("input"), { maxLength: 64, placeholder: "which defect", autocomplete: "off", hidden: true });
    field.setAttribute("aria-label", "Which defect");
    field.setAttribute("list", zone.querySelector("[name=label]").getAttribute("list"));
    const told = words("span", "aside", "");

    function done(taken) {
      told.textContent = taken ? "ready: Add them… above" : "not taken: above stands why";
      if (!taken) return;
      line.replaceChildren(told);
      item.classList.remove("waiting");
    }
    const say = (as) => zone.dispatchEvent(new CustomEvent("judged", { detail: { file, as, done } }));
    function defect() {
      if (field.value.trim()) return say(`test/${field.value.trim()}`);
      field.hidden = false;
      field.focus();
    }
    const button = (text, act) => {
      const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
      made.addEventListener("click", act);
      return made;
    };
    field.addEventListener("keydown", (event) => event.key === "Enter" && defect());
    line.append(button("Good, to learn from", () => say("train/good")), button("Good, to test with", () => say("test/good")), button("A defect…", defect), field, told);
    return line;
  }

  for (const section of document.querySelectorAll(".trying")) {
    const zone = section.closest(".page").querySelector(".drop");
    const [choice, busy, list] = ["input", ".busy", ".tried"].map((one) => section.querySelector(one));
    let last = Promise.resolve(); // one after the other, whatever comes meanwhile

    // waiting: it stays until somebody judges it
    async function show(file, waiting) {
      busy.textContent = `inspecting ${file.name}…`;
      try {
        const item = result(file.name, await inspect(section.dataset.product, file));
        item.classList.toggle("waiting", waiting);
        item.append(judgement(zone, file, item));
        list.prepend(item);
      } catch (error) {
        list.prepend(refusal(file.name, error.message));
      }
      const over = [...list.querySelectorAll("li:not(.waiting)")].slice(MOST);
      for (const each of over) each.remove();
      busy.textContent = "";
    }
    const take = (files, waiting = false) => [...files].forEach((file) => (last = last.then(() => show(file, waiting))));

    section.addEventListener("judge", (event) => take(event.detail, true));

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
