// Files into a product: looked at by the server one by one, then taken together.
const drops = {
  // send files to a drop, one after the other; refused: of each one that is not taken, why
  async send(drop, files, as, tell) {
    const refused = [];
    let taken = 0;
    for (const [index, file] of files.entries()) {
      tell(index, files.length, file.name);
      const path = `/drops/${drop}/files?name=${encodeURIComponent(file.name)}&as=${encodeURIComponent(as)}`;
      try {
        const headers = { "Content-Type": "application/octet-stream", "X-Inspectline": "board" };
        const answer = await fetch(path, { method: "POST", headers, body: file });
        const told = await answer.json().catch(() => ({}));
        if (answer.ok) taken += 1;
        else refused.push(told.error ?? `${file.name}: the board answers ${answer.status}`);
      } catch (error) {
        refused.push(`${file.name}: cannot be sent (${error.message}); is it a folder?`);
      }
    }
    return { taken, refused };
  },

  // take what is in a drop; what came of it
  async take(drop, by, tell = () => {}) {
    let work = await ask(`/drops/${drop}/take`, { by });
    while (work.state === "working") {
      await new Promise((resolve) => setTimeout(resolve, 500));
      work = await ask(`/drops/${drop}`);
      if (work.step) tell(work.step);
    }
    if (work.state !== "done") throw new Error(work.error ?? "these files were not taken");
    return work;
  },

  forget: (drop) => ask(`/drops/${drop}/forget`, {}).catch(() => {}),
  count: (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`,

  list(element, texts) {
    const line = (text) => Object.assign(document.createElement("li"), { textContent: text });
    element.replaceChildren(...texts.slice(0, 50).map(line));
    if (texts.length > 50) element.append(line(`and ${texts.length - 50} more`));
  },

  // let files be dropped onto an element
  onto(element, accept) {
    let over = 0; // of how many parts of it
    const mark = (change) => { over += change; element.classList.toggle("over", over > 0); };
    element.addEventListener("dragenter", (event) => { event.preventDefault(); mark(1); });
    element.addEventListener("dragleave", () => mark(-1));
    element.addEventListener("dragover", (event) => event.preventDefault());
    element.addEventListener("drop", (event) => {
      event.preventDefault();
      over = 0;
      mark(0);
      accept([...event.dataTransfer.files]);
    });
  },
};
{
  const [DEFECT, JUDGE] = ["test/", "judge"];
  const GOOD = { "train/good": "good parts, to learn from", "test/good": "good parts, to test with" };

  function zone(section) {
    const { product } = section.dataset;
    const part = (name) => section.querySelector(`.${name}`);
    const kind = section.querySelector("[name=as]");
    const label = section.querySelector("[name=label]");
    const input = section.querySelector("[type=file]");
    const bar = section.querySelector("progress");
    let drop = "";
    let kinds = new Map(); // how many images of each
    let shown = [];
    let known = []; // types of defects
    let busy = false;
    const count = () => [...kinds.values()].reduce((sum, one) => sum + one, 0);

    const as = () => (kind.value === DEFECT ? DEFECT + label.value.trim() : kind.value);

    kind.addEventListener("change", async () => {
      label.hidden = kind.value !== DEFECT;
      if (![DEFECT, JUDGE].includes(kind.value) || known.length) return;
      const { labels } = await ask(`/products/${product}`).catch(() => ({ labels: [] }));
      known = labels.filter((name) => name !== "good");
      label.list.replaceChildren(...known.map((name) => new Option(name)));
    });

    // the champion's opinion of each, and a person's judgement, which comes back as an event
    function judge(files) {
      part("told").textContent = "say below what each shows";
      section.closest(".page").querySelector(".trying").dispatchEvent(new CustomEvent("judge", { detail: files }));
    }

    // how many of the files were taken
    async function accept(files, meant = as()) {
      let taken = 0;
      if (busy || !files.length) return taken;
      if (meant === JUDGE) return judge(files);
      part("told").textContent = meant === DEFECT ? "first say which defect they show" : "";
      if (meant === DEFECT) return label.focus();
      busy = true;
      bar.hidden = false;
      try {
        drop ||= (await ask("/drops", { product })).drop;
        const sent = await drops.send(drop, files, meant, (done, all, name) => {
          bar.value = done / all;
          part("told").textContent = `${done + 1} of ${all}: ${name}`;
        });
        taken = sent.taken;
        if (taken) kinds.set(meant, (kinds.get(meant) ?? 0) + taken);
        shown = [...shown, ...sent.refused];
        part("told").textContent = `${drops.count(count(), "image")} ready${shown.length ? `, ${drops.count(shown.length, "file")} refused` : ""}`;
        drops.list(part("refused"), shown);
      } catch (error) {
        part("told").textContent = error.message;
      } finally {
        busy = false;
        bar.hidden = true;
        for (const button of section.querySelectorAll("[data-drop]")) button.hidden = !count();
      }
      return taken;
    }

    function ended(text) {
      [drop, kinds, shown] = ["", new Map(), []];
      part("told").textContent = text;
      for (const button of section.querySelectorAll("[data-drop]")) button.hidden = true;
    }

    function meaning(as, number) {
      if (GOOD[as]) return `${number} as ${GOOD[as]}`;
      const type = as.slice(DEFECT.length);
      const same = known.some((name) => name.toLowerCase() === type.toLowerCase());
      if (same) return `${number} as the defect ${type}`;
      return `${number} as the defect ${type}, a new type; known: ${known.join(", ") || "none yet"}`;
    }

    const add = () => confirmThen(
      `Add ${drops.count(count(), "image")} to ${product}`,
      [...[...kinds].map(([as, number]) => meaning(as, number)), "They are copied into the product and versioned, as inspectline ingest does. They count from the next run on."],
      "Add",
      async (by) => {
        const work = await drops.take(drop, by);
        const known = work.known.length ? `, ${work.known.length} were there already` : "";
        const refused = work.refused.map(([file, reason]) => `${file}: ${reason}`);
        ended(`${drops.count(work.new.length, "new image")}${known}${refused.length ? `, ${refused.length} refused` : ""}. ${work.note}`);
        drops.list(part("refused"), refused);
        document.dispatchEvent(new Event("look"));
      },
    );

    section.querySelector("[data-pick]").addEventListener("click", () => input.click());
    section.querySelector("[data-drop=take]").addEventListener("click", add);
    section.querySelector("[data-drop=forget]").addEventListener("click", () => {
      drops.forget(drop);
      drops.list(part("refused"), []);
      ended("");
    });
    section.addEventListener("judged", ({ detail }) => accept([detail.file], detail.as).then(detail.done));
    input.addEventListener("change", () => { accept([...input.files]); input.value = ""; });
    drops.onto(section, accept);
  }

  for (const section of document.querySelectorAll(".drop")) zone(section);
}
