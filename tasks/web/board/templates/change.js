{
  const dialog = document.getElementById("change");
  const form = dialog.querySelector("form");
  const field = form.elements;
  const wrong = dialog.querySelector("[role=alert]");
  const OF = { fixed: ["value"], auto: ["overkill"], min_cost: ["overkill"], normal_quantile: ["overkill"], normal_tail: ["overkill"], max_overkill: ["overkill", "confidence"], max_miss: ["miss"], f1_max: [] };
  let sent; // the present request: its path and its body
  const brief = (release) => release.slice(0, 8);

  function open(title, what, path, body, group = "") {
    const product = path.split("/")[2];
    sent = { path, body, after: group ? ` It applies from the next run on: Run… on the page of ${product}` : "" };
    dialog.querySelector("h2").textContent = title;
    dialog.querySelector(".what").textContent = what;
    for (const set of form.querySelectorAll("fieldset")) set.hidden = set.disabled = set.dataset.group !== group;
    fillName(field.by);
    field.reason.value = "";
    wrong.hidden = true;
    dialog.showModal();
  }

  function ofPolicy() {
    for (const one of form.querySelectorAll("[data-of]")) {
      const used = one.dataset.of.split(" ").includes(field.policy.value);
      one.hidden = !used;
      for (const input of one.querySelectorAll("input")) input.required = used;
    }
  }

  // a raw score decides for every algorithm of the product, but the page shows only one
  function scales(product) {
    const cells = products[product].models.filter((model) => !model.key.startsWith("release-") && model.threshold !== null);
    const used = cells.map((model) => `${model.title} ${model.threshold.toPrecision(4)}`).join(", ");
    return cells.length < 2 ? "" : `It decides for all algorithms of ${product}, but their scores have different scales; present thresholds: ${used}. A value for one may let all defects of another pass; keep the others out of the spec.`;
  }

  async function threshold(product, value) {
    const { spec, threshold: now } = await ask(`/products/${product}`);
    for (const name of ["value", "overkill", "miss", "confidence"]) field[name].value = now[name] ?? "";
    field.policy.value = value === undefined ? now.policy : "fixed";
    if (value !== undefined) field.value.value = value;
    ofPolicy();
    form.querySelector(".warning").textContent = scales(product);
    const present = [now.policy, ...OF[now.policy].map((key) => `${key} ${now[key]}`)].join(", ");
    const change = () => ({ policy: field.policy.value, ...Object.fromEntries(OF[field.policy.value].map((key) => [key, Number(field[key].value)])) });
    open(`Threshold of ${product}`, `Now: ${present}. The change is written into the spec and applies from the next run on.`, `/products/${product}/threshold`, () => ({ change: change(), seen: spec }), "threshold");
  }

  async function label({ product, path, label: shown }) {
    const { labels, corrections } = await ask(`/products/${product}`);
    document.getElementById("change-labels").replaceChildren(...[...new Set([...labels, "drop"])].map((name) => new Option(name)));
    field.label.value = "";
    field.label.required = true;
    field.new.checked = false;
    const before = corrections[path];
    const now = before?.label ?? path.split("/")[1];
    const told = before ? `, by ${before.by}: ${before.why}` : "";
    const stale = now === shown ? "" : ` This page still shows it as ${shown}.`;
    open("A wrong label", `${path} is called ${now}${told}.${stale} The change is written into corrections.yaml and applies from the next run on; the file is not moved.`, `/products/${product}/label`, () => ({ image: path, label: field.label.value.trim(), new: field.new.checked, seen: now }), "label");
  }

  const champion = (product, kind, seen, release, title, what) =>
    open(title, what, `/products/${product}/champion`, () => ({ kind, seen, ...(kind === "promote" ? { release } : {}) }));

  const DO = {
    threshold: ({ product }) => threshold(product),
    here: ({ product, model }) => threshold(product, document.querySelector(`form.slider[data-product="${CSS.escape(product)}"][data-model="${CSS.escape(model)}"]`).dataset.value),
    rollback: ({ product, champion: seen }, button) => champion(product, "rollback", seen, "", `Roll ${product} back`, `The champion ${brief(seen)} is replaced by the one before it, ${brief(button.dataset.release)}. A release that was rolled back is not promoted again automatically.`),
    promote: ({ product, champion: seen }, button) => {
      const chosen = button.parentElement.querySelector("select").selectedOptions[0];
      const instead = seen ? `instead of ${brief(seen)}` : "the first one";
      champion(product, "promote", seen, chosen.value, `Promote for ${product}`, `${chosen.text} becomes the champion, ${instead}.`);
    },
    edge: (image) => label(image),
    label: () => label(document.getElementById("viewer").dataset),
  };

  addEventListener("click", async (event) => {
    const button = event.target.closest("[data-do]");
    if (!button) return;
    const told = button.parentElement.querySelector(".fail") ?? button.parentElement.appendChild(Object.assign(document.createElement("span"), { className: "fail", role: "alert" }));
    told.textContent = "";
    try {
      await DO[button.dataset.do](button.parentElement.dataset, button);
    } catch (error) {
      told.textContent = error.message;
    }
  });
  field.policy.addEventListener("change", ofPolicy);
  field.cancel.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    button.disabled = true;
    wrong.hidden = true;
    keepName(field.by);
    try {
      await ask(sent.path, { ...sent.body(), by: field.by.value, reason: field.reason.value });
      sessionStorage.setItem("notice", `Done: ${dialog.querySelector("h2").textContent}. It is recorded in the history.${sent.after}`);
      location.reload();
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
}
