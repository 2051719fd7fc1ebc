{
  const board = document.getElementById("now");
  const part = (name) => board.querySelector(`.${name}`);
  const copy = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);
  const WORDS = {
    working: "a run is in progress", done: "the last run is done", failed: "the last run failed",
    stopped: "the last run was stopped", planning: "a run checks what is out of date", finishing: "a run writes its report", killed: "the last run was killed",
  };
  const PLANNING = { state: "planning", done: 0, total: 0, working: [], waiting: [], left: null };
  let soon; // the next look
  let shown; // the state of the results that this page shows

  const span = (seconds) => {
    if (seconds < 90) return `${Math.round(seconds)} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    return `${(seconds / 3600).toFixed(1)} h`;
  };
  const clock = (time) => `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`; // like all times on the pages
  const ago = (time, now) => span((new Date(now) - new Date(time)) / 1000);
  const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };

  function fold(name, items, heading, make) {
    const details = part(name);
    details.hidden = items.length === 0;
    put(details.querySelector("summary"), heading);
    const key = JSON.stringify(items);
    if (details.dataset.key === key) return; // unchanged: keep it, a person may be reading it
    details.dataset.key = key;
    const inside = details.querySelector("ul") ?? details;
    for (const old of [...inside.children]) if (old.localName !== "summary") old.remove();
    inside.append(...items.map(make));
  }

  function item(text) {
    const line = document.createElement("li");
    line.textContent = text;
    return line;
  }

  function failure({ name, time, reason }) {
    const article = copy("stage-failed");
    article.querySelector("h3").textContent = `${name}, ${clock(time)}`;
    article.querySelector("pre").textContent = reason || "no reason given";
    return article;
  }

  function stages(working) {
    const list = part("stages");
    const known = new Map([...list.children].map((line) => [line.dataset.name, line]));
    for (const { name, step, fraction, metrics, seconds, left, known: sure } of working) {
      const line = known.get(name) ?? copy("stage-now");
      known.delete(name);
      line.dataset.name = name;
      put(line.querySelector(".name"), name);
      const bar = line.querySelector("progress");
      bar.setAttribute("aria-label", name);
      bar.value = fraction;
      put(line.querySelector(".share"), `${Math.round(100 * fraction)} %`);
      const figures = Object.entries(metrics).map(([key, value]) => `${key} ${value}`).join(" ");
      put(line.querySelector(".step"), `${step} ${figures}`.trim());
      const rest = left === null ? "" : left === 0 ? ", longer than last time" : `, about ${span(left)} left${sure ? "" : " of this part"}`;
      put(line.querySelector(".left"), `${span(seconds)} so far${rest}`);
      if (!line.isConnected) list.append(line);
    }
    for (const line of known.values()) line.remove();
  }

  function run(told, now) {
    const tag = part("tag");
    tag.hidden = !told;
    if (!told) return put(part("told"), "no run yet; start one with inspectline run");
    tag.className = `tag ${{ done: "champion", working: "working", planning: "working", finishing: "working" }[told.state] ?? "refused"}`;
    put(tag, told.state);
    const by = told.by ? ` by ${told.by}` : "";
    const left = told.left === null ? "" : `, about ${span(told.left)} left`;
    const count = told.state === "failed" ? ` in ${told.failed}` : `, ${told.done}`;
    put(part("told"), WORDS[told.state] + (told.total ? `${count} of ${told.total} stages` : ""));
    put(part("time"), told.state === "working" ? `started ${ago(told.began, now)} ago${by}${left}` : told.ended ? `${told.state === "killed" ? "last sign of life " : ""}${clock(told.ended)}${told.state === "stopped" && told.stopped ? `, by ${told.stopped}` : ""}` : "");
    stages(told.working);
    fold("waiting", told.waiting, `${told.waiting.length} ${told.waiting.length === 1 ? "stage waits" : "stages wait"}`, item);
    const share = told.total ? Math.floor((100 * told.done) / told.total) : 0;
    const title = document.title.replace(/^\d+ % · /, "");
    document.title = told.state === "working" ? `${share} % · ${title}` : title;
  }

  function server(told) {
    const link = part("prefect");
    link.hidden = !told;
    if (!told) return fold("queue", [], "", item);
    link.href = told.ui;
    const rows = [...told.runs, ...told.queue].map((one) => `${one.name}: ${one.state}, ${one.since ? clock(one.since) : ""}`);
    if (told.trouble) rows.unshift(told.trouble);
    const heading = told.trouble ? "Prefect does not answer" : `Prefect: ${told.runs.length} running, ${told.queue.length} waiting`;
    fold("queue", rows, heading, item);
  }

  function draw(told) {
    shown ??= told.stamp;
    board.classList.remove("away");
    run(told.planning ? PLANNING : told.run, told.time);
    server(told.server);
    fold("failed", told.failures, `${told.failures.length} failed`, failure);
    pending(told.pending);
    part("fresh").hidden = told.stamp === shown;
    part("logout").hidden = !told.private;
    part("login").hidden = told.may_change;
    document.documentElement.classList.toggle("readonly", !told.may_change);
    document.documentElement.dataset.role = told.role;
    document.documentElement.dataset.user = told.user;
    document.dispatchEvent(new CustomEvent("progress", { detail: told })); // for the other scripts
    put(part("user"), told.user && `${told.user}, ${told.role}`);
    return told.run?.state === "working" || told.planning;
  }

  function pending(products) {
    const rows = Object.entries(products).flatMap(([product, lines]) => [...lines.map((line) => `${product}: ${line}`), `${product}: to apply it: Run… on its page`]);
    const count = Object.keys(products).length;
    fold("pending", rows, `${count} ${count === 1 ? "product waits" : "products wait"} for a run, because something was changed`, item);
  }

  async function look() {
    let busy = false;
    try {
      busy = draw(await ask("/progress"));
    } catch (error) {
      board.classList.add("away");
      put(part("told"), `the board does not answer (${error.message}); is it still running?`);
    }
    clearTimeout(soon);
    soon = setTimeout(look, document.hidden ? 15000 : busy ? 1000 : 4000);
  }

  part("fresh").querySelector("button").addEventListener("click", () => location.reload());
  part("logout").addEventListener("click", () => ask("/logout", {}).finally(() => location.assign("/login")));
  const notice = sessionStorage.getItem("notice");
  sessionStorage.removeItem("notice");
  part("notice").hidden = !notice;
  if (notice) setTimeout(() => put(part("notice"), notice)); // after the page is ready, so that screen readers read it
  document.addEventListener("look", look); // at once: something was done here
  look();
}
