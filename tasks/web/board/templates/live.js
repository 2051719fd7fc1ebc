{
  // The last inspections, asked for again and again while the page is shown.
  const page = document.getElementById("live");
  const part = (name) => page.querySelector(name);
  const [rows, hour, form] = [part(".last tbody"), part(".hour tbody"), part("form")];
  const EVERY = 2000; // milliseconds
  const NAMES = [...page.querySelectorAll(".last th")].map((head) => head.textContent);
  let told = { last: [], hour: {}, folder: "" };
  let waiting = 0;

  function cell(text, name, className = "") {
    const made = Object.assign(document.createElement("td"), { textContent: text, className });
    made.dataset.name = name;
    return made;
  }

  function line(one) {
    const row = document.createElement("tr");
    row.dataset.key = `${one.product} ${one.time} ${one.part}`;
    const picture = cell("", NAMES[0]);
    if (one.picture) picture.append(photo(`/live/${encodeURIComponent(one.product)}/${one.sha256}`, "kept", one.name));
    const verdict = cell(one.decision, NAMES[4], { good: "pass", review: "doubt", defect: "fail" }[one.decision] ?? "");
    const score = cell(one.displayed === null ? "–" : one.displayed.toFixed(1), NAMES[5], "num");
    score.title = `score ${one.score?.toPrecision(4)}, threshold ${one.threshold?.toPrecision(4)}`;
    const release = cell((one.release ?? "–").slice(0, 8), NAMES[6]);
    release.title = one.release ?? "";
    const named = cell(one.part ?? "–", NAMES[3], "path");
    named.title = one.name;
    row.append(picture, cell(one.time.slice(0, 19).replace("T", " "), NAMES[1]), cell(one.product, NAMES[2]), named, verdict, score, release);
    return row;
  }

  function draw() {
    const { product, decision } = form.elements;
    const chosen = told.last.filter((one) => (!product.value || one.product === product.value) && (!decision.value || one.decision === decision.value));
    const there = new Map([...rows.children].map((row) => [row.dataset.key, row])); // a picture is loaded once
    rows.replaceChildren(...chosen.map((one) => there.get(`${one.product} ${one.time} ${one.part}`) ?? line(one)));
    hour.replaceChildren(...Object.entries(told.hour).map(([name, counts]) => {
      const row = document.createElement("tr");
      const [good, review, defect] = ["good", "review", "defect"].map((one) => counts[one] ?? 0);
      const all = good + review + defect;
      row.append(Object.assign(document.createElement("th"), { scope: "row", textContent: name }), ...[good, review, defect, all ? percent(defect, all) : "–"].map((text) => cell(text, "", "num")));
      return row;
    }));
    part(".none").hidden = told.last.length > 0;
  }

  async function look() {
    clearTimeout(waiting);
    if (!page.classList.contains("shown")) return;
    try {
      if (!document.hidden) told = await ask("/live");
      part(".fail").textContent = "";
      draw();
    } catch (error) {
      part(".fail").textContent = error.message;
    }
    waiting = setTimeout(look, EVERY);
  }
  page.addEventListener("turned", look);
  form.addEventListener("input", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
}
