// Runs: started and stopped here, and followed by what they say.
{
  const board = document.getElementById("now");
  const part = (name) => board.querySelector(`.${name}`);
  const output = part("output");
  const lines = output.querySelector("pre");
  const MOST = 200000; // characters that are shown
  let told = {};
  let shown = { name: "", at: null, over: false, busy: false };

  const busy = () => Boolean(told.begun?.alive || told.planning || told.run?.state === "working" || told.held);

  const look = () => document.dispatchEvent(new Event("look"));

  async function begin(products, by) {
    await ask("/runs", { products, by });
    output.open = true;
    look();
  }

  const start = (product) => confirmThen(
    product ? `Run ${product}` : "Run all products",
    `What is out of date is validated, trained, evaluated and weighed by the gate: inspectline run${product ? ` -p ${product}` : ""}. It goes on when this page or the board is closed.`,
    "Run",
    (by) => begin(product ? [product] : [], by),
  );

  const stop = ({ pid }) => confirmThen(
    "Stop the run",
    "It ends once its stages have come to the end of a batch. Checkpoints are kept, and the next run goes on from there.",
    "Stop",
    async (by) => { await ask("/runs/stop", { pid, by }); look(); },
  );

  const stoppable = () => (told.held?.what === "run" ? told.held : told.begun?.alive && !told.held ? told.begun : null);

  addEventListener("click", (event) => {
    const button = event.target.closest("[data-run], [data-stop]");
    if (!button) return;
    if ("run" in button.dataset) start(button.dataset.run);
    else if (stoppable()) stop(stoppable());
  });
  function say(text) {
    const below = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40; // a person who reads above stays there
    lines.textContent = (lines.textContent + text).slice(-MOST);
    if (below) lines.scrollTop = lines.scrollHeight;
  }

  async function follow() {
    if (!output.open || shown.busy || shown.over || !shown.name) return;
    shown.busy = true;
    const mine = shown;
    try {
      let more = true;
      while (more && mine === shown) {
        const found = await ask(`/runs/output?name=${mine.name}${mine.at === null ? "" : `&at=${mine.at}`}`);
        if (mine !== shown) return;
        if (found.text) say(found.text);
        [mine.at, mine.over] = [found.next, found.over];
        more = Boolean(found.text);
      }
    } catch {
      // the next news tries again
    } finally {
      mine.busy = false;
    }
  }

  function waits(section) {
    const found = told.pending?.[section.dataset.product] ?? [];
    const list = section.querySelector(".waits");
    const key = JSON.stringify(found);
    section.querySelector(".waits-told").textContent = told.held && told.held.what !== "run" ? "something is being changed" : busy() ? "a run is in progress" : found.length ? "waits for a run:" : "nothing that was changed waits for a run";
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    list.replaceChildren(...found.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }

  document.addEventListener("progress", ({ detail }) => {
    told = detail;
    for (const button of document.querySelectorAll("[data-run]")) button.disabled = busy();
    board.querySelector("[data-stop]").hidden = !stoppable();
    for (const section of document.querySelectorAll(".work")) waits(section);
    const { begun } = told;
    output.hidden = !begun;
    if (!begun) return;
    if (shown.name !== begun.name) {
      shown = { name: begun.name, at: null, over: false, busy: false };
      lines.textContent = "";
    }
    const of = begun.products.length ? begun.products.join(", ") : "all products";
    const end = begun.alive ? "" : begun.code === null ? ", ended" : begun.code ? `, ended with exit code ${begun.code}` : ", ended well";
    output.querySelector("summary").textContent = `Output of the run of ${of}, started here by ${begun.by}${end}`;
    output.classList.toggle("failed", !begun.alive && Boolean(begun.code));
    follow();
  });
  output.addEventListener("toggle", follow);
}
