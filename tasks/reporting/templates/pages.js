// One page at a time, chosen by the address; without scripts all of them follow each other.
const pages = [...document.querySelectorAll(".page")];

// In a row that is too long. `scrollIntoView` would have Tab go on from there.
function centre(link) {
  const [own, row] = [link, link.parentElement].map((each) => each.getBoundingClientRect());
  link.parentElement.scrollLeft += own.left + own.width / 2 - row.left - row.width / 2;
}

function turn() {
  const name = decodeURIComponent(location.hash.slice(1)) || "overview";
  document.body.classList.toggle("everything", name === "everything");
  const target = document.getElementById(name);
  const page = target?.closest(".page") ?? (target ? null : pages[0]);
  if (page) {
    for (const each of pages) each.classList.toggle("shown", each === page);
    const product = page.dataset.product ?? name.split("/")[1];
    for (const link of document.querySelectorAll("header nav a, .tabs a")) {
      const there = decodeURIComponent(link.hash.slice(1));
      const here = there === page.id || (link.closest("header") && there === `p/${product}`);
      if (here) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
      if (here) centre(link);
    }
    document.title = `${page.getAttribute("aria-label")} · ${document.querySelector(".brand b").textContent}`;
    page.dispatchEvent(new Event("turned"));
    if (target === page) scrollTo(0, 0);
  }
  if (target && target !== page) target.focus();
}
addEventListener("hashchange", turn);
addEventListener("DOMContentLoaded", turn); // when all pictures are there
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll(".page.shown details")) each.open = true;
  for (const each of document.querySelectorAll(".page.shown img")) each.loading = "eager";
});
