// A product from images: its name, good parts, and defects if there are some.
{
  const dialog = document.getElementById("begin");
  const form = dialog.querySelector("form");
  const { name: product, by, defect } = form.elements;
  const part = (selector) => dialog.querySelector(selector);
  const wrong = part("[role=alert]");
  let chosen = []; // [what they show, file]
  let drop = "";

  function show() {
    const counts = new Map();
    for (const [as] of chosen) counts.set(as, (counts.get(as) ?? 0) + 1);
    drops.list(part(".chosen"), [...counts].map(([as, count]) => `${drops.count(count, "file")}: ${as === "train/good" ? "good parts" : as.slice(5)}`));
    form.querySelector("[type=submit]").disabled = !chosen.some(([as]) => as === "train/good");
  }

  function take(as, files) {
    chosen.push(...files.map((file) => [as, file]));
    show();
  }

  function takeDefects(files) {
    const kind = defect.value.trim();
    wrong.hidden = Boolean(kind);
    wrong.textContent = "first say which defect they show";
    if (kind) take(`test/${kind}`, files);
    else defect.focus();
  }

  function tell(text, share) {
    part("progress").hidden = share === undefined;
    if (share === undefined || share >= 0) part("progress").value = share ?? 0;
    else part("progress").removeAttribute("value"); // nobody knows how long
    part(".told").textContent = text;
  }

  async function begin() {
    drop = (await ask("/drops", { product: product.value.trim(), new: true })).drop;
    const refused = [];
    let done = 0;
    for (const as of new Set(chosen.map(([one]) => one))) {
      const files = chosen.filter(([one]) => one === as).map(([, file]) => file);
      const sent = await drops.send(drop, files, as, (index, all, name) => tell(`${name}`, (done + index) / chosen.length));
      done += files.length;
      refused.push(...sent.refused);
    }
    drops.list(part(".refused"), refused);
    tell("the images are looked at and versioned, and a spec is written", -1);
    keepName(by);
    const work = await drops.take(drop, by.value, (step) => tell(step, -1));
    tell([work.said, work.note].filter(Boolean).join("\n"));
    form.querySelector("[type=submit]").hidden = true;
    part("[data-go]").hidden = false;
    part("[data-go]").dataset.go = product.value.trim();
  }

  addEventListener("click", (event) => {
    if (event.target.closest("[data-begin]")) {
      form.reset();
      [chosen, drop] = [[], ""];
      fillName(by);
      by.parentElement.hidden = by.readOnly; // it is the name of a user
      form.querySelector("[type=submit]").hidden = false;
      part("[data-go]").hidden = true;
      wrong.hidden = true;
      drops.list(part(".refused"), []);
      tell("");
      show();
      dialog.showModal();
    }
  });
  part("[data-go]").addEventListener("click", (event) => {
    location.hash = `p/${event.target.dataset.go}`;
    location.reload();
  });
  for (const input of form.querySelectorAll("[type=file]")) {
    const accept = input.name === "good" ? (files) => take("train/good", files) : takeDefects;
    input.addEventListener("change", () => { accept([...input.files]); input.value = ""; });
    drops.onto(input.closest(".onto"), accept);
  }
  form.elements.cancel.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    button.disabled = true;
    wrong.hidden = true;
    try {
      await begin();
    } catch (error) {
      if (drop) drops.forget(drop);
      tell("");
      wrong.textContent = error.message;
      wrong.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
}
