"use strict";
// The page in another language: texts that the dictionary knows are replaced, also those that other
// scripts add later. {name} in a text stands for anything; n, all, a, b, c and d for a number.
const language = (() => {
  const known = JSON.parse(document.getElementById("words").textContent); // language -> English -> its text
  const TITLES = { en: "English", zh: "中文" };
  const TAGS = { en: "en", zh: "zh-CN" };
  const ASIDE = "script, style, noscript, code, pre, kbd, textarea, datalist, .path, [translate=no]"; // what people named
  const ATTRIBUTES = ["title", "aria-label", "placeholder", "data-name", "aria-valuetext"];
  const JOINTS = [["; ", "；"], [" · ", " · "], [", ", "，"]]; // of texts that are put together
  const LETTERS = /[A-Za-z]{2}/;
  const KEPT = "inspectline-language";

  function kept() {
    try {
      return localStorage.getItem(KEPT);
    } catch {
      return null; // a file may have no storage
    }
  }
  const offered = document.documentElement.dataset.language === "browser" ? navigator.language.slice(0, 2) : "en";
  const chosen = [kept(), offered, "en"].find((one) => one in TITLES);
  const dictionary = known[chosen] ?? {};

  const PLACE = /\{(\w+)\}/;
  const form = (part, place) => {
    if (place % 2 === 0) return part.replace(/[.*+?^$()|[\]\\/{}]/g, "\\$&");
    return /^(n|all|[a-d])$/.test(part) ? "([-+\\d.,]+ ?%?)" : "(.+?)";
  };
  const spare = (text) => text.split(PLACE).filter((_, place) => place % 2 === 0).join("").length;
  const patterns = Object.keys(dictionary)
    .filter((text) => PLACE.test(text))
    .sort((one, other) => spare(other) - spare(one)) // the one that says most is tried first
    .map((text) => ({ names: text.split(PLACE).filter((_, place) => place % 2), form: new RegExp(`^${text.split(PLACE).map(form).join("")}$`), said: dictionary[text] }));

  // The text in the chosen language; null if the dictionary does not know it.
  function translated(text) {
    if (Object.hasOwn(dictionary, text)) return dictionary[text];
    if (!LETTERS.test(text)) return text;
    for (const { names, form, said } of patterns) {
      const found = form.exec(text);
      if (!found) continue;
      const values = Object.fromEntries(names.map((name, place) => [name, translated(found[place + 1]) ?? found[place + 1]]));
      return said.replace(/\{(\w+)\}/g, (_, name) => values[name]);
    }
    for (const [joint, other] of JOINTS) {
      if (!text.includes(joint)) continue;
      const parts = text.split(joint).map(translated);
      if (parts.every((part) => part !== null)) return parts.join(other);
    }
    return text.includes(": ") ? named(text.split(": ")) : null;
  }

  // A name or a value beside what is known, as in `cap: the images changed`.
  function named(parts) {
    const said = parts.map(translated);
    return said.every((part) => part === null) ? null : parts.map((part, place) => said[place] ?? part).join("：");
  }

  const done = new WeakMap(); // a text node and what was put there

  function put(node) {
    const [, before, text, after] = /^(\s*)([^]*?)(\s*)$/.exec(node.data);
    if (!LETTERS.test(text) || done.get(node) === node.data || node.parentElement?.closest(ASIDE)) return;
    const said = translated(text.replace(/\s+/g, " "));
    if (said === null || said === text) return;
    if (node.parentElement?.localName === "option") node.parentElement.value = node.parentElement.value; // it stays what it means
    node.data = before + said + after;
    done.set(node, node.data);
  }

  function attributes(element) {
    if (element.closest("[translate=no]")) return;
    for (const name of ATTRIBUTES) {
      const text = element.getAttribute(name);
      const said = text && LETTERS.test(text) ? translated(text) : null;
      if (said !== null && said !== text) element.setAttribute(name, said);
    }
  }

  function walk(root) {
    if (root.nodeType === Node.TEXT_NODE) return put(root);
    const nodes = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    for (let node = nodes.currentNode; node; node = nodes.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) put(node);
      else if (node.nodeType === Node.ELEMENT_NODE) {
        attributes(node);
        if (node.localName === "template") walk(node.content);
      }
    }
  }

  function heard(changes) {
    for (const { type, target, addedNodes } of changes) {
      if (type === "characterData") put(target);
      else if (type === "attributes") attributes(target);
      else addedNodes.forEach(walk);
    }
  }

  for (const choice of document.querySelectorAll("[data-languages]")) {
    for (const [name, title] of Object.entries(TITLES)) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: title, lang: TAGS[name] });
      button.setAttribute("aria-pressed", name === chosen);
      button.addEventListener("click", () => {
        localStorage.setItem(KEPT, name);
        location.reload();
      });
      choice.append(button);
    }
  }
  document.documentElement.lang = TAGS[chosen];
  if (chosen !== "en") {
    walk(document.body);
    new MutationObserver(heard).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ATTRIBUTES });
  }
  return { chosen, translated };
})();
