{
  const form = document.getElementById("login");
  const wrong = form.querySelector("[role=alert]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    wrong.hidden = true;
    try {
      await ask("/login", { token: form.elements.token.value });
      location.replace("/" + location.hash);
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
      form.elements.token.select();
    } finally {
      button.disabled = false;
    }
  });
}
