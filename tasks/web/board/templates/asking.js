// Requests from the board's pages to its server: JSON, and a header that other sites cannot send.
// The other scripts are in blocks, so that their names do not clash with the report's scripts.
async function ask(path, body) {
  const given = body === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Inspectline": "board" },
    body: JSON.stringify(body),
  };
  const answer = await fetch(path, { cache: "no-store", ...given }).catch(() => {
    throw new Error("the board cannot be reached"); // in words; each browser has its own
  });
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 401 && path !== "/login") location.assign("/login" + location.hash);
  if (!answer.ok) throw new Error(told.error ?? `the board answers ${answer.status}`);
  return told;
}

// Who makes a change: with a token of one's own the name is known, and is not asked.
function fillName(field) {
  const { user } = document.documentElement.dataset;
  field.value = user || field.value || (localStorage.getItem("name") ?? "");
  field.readOnly = Boolean(user);
}
function keepName(field) {
  if (!field.readOnly) localStorage.setItem("name", field.value);
}
