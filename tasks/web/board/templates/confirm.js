// Ask whether something is to be done, and who does it: with a token of one's own the name is known.
// what: a text, or one for each line. act: does it, given the name; its error is shown and the dialog stays.
function confirmThen(title, what, verb, act) {
  const dialog = document.getElementById("confirm");
  const { by } = dialog.querySelector("form").elements;
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector(".what").replaceChildren(...[what].flat().flatMap((text) => [text, document.createElement("br")]).slice(0, -1));
  dialog.querySelector("[type=submit]").textContent = verb;
  dialog.querySelector("[role=alert]").hidden = true;
  fillName(by);
  by.parentElement.hidden = by.readOnly;
  dialog.act = act;
  dialog.showModal();
}
{
  const dialog = document.getElementById("confirm");
  const form = dialog.querySelector("form");
  const wrong = dialog.querySelector("[role=alert]");
  form.elements.cancel.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    const by = form.elements.by.value;
    button.disabled = true;
    wrong.hidden = true;
    keepName(form.elements.by);
    try {
      await dialog.act(by);
      dialog.close();
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
}
