{
  const form = document.getElementById("login");
  const wrong = form.querySelector("[role=alert]");
  const [, key] = location.hash.match(/^#key=([\w-]+)$/) ?? []; // of the link that the board shows at its start
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    wrong.hidden = true;
    try {
      await ask("/login", { token: form.elements.token.value });
      location.replace("/" + (key ? "" : location.hash));
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
      form.elements.token.select();
    } finally {
      button.disabled = false;
    }
  });
  if (key) {
    history.replaceState(null, "", "/login");
    form.elements.token.value = key;
    form.requestSubmit();
  }
}
