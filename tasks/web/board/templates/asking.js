// How the board's pages speak with its server: JSON both ways, and a header that no page elsewhere
// can send. Everything below is in a block, or its names would meet those of the report's scripts.
async function ask(path, body) {
  const given = body === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Inspectline": "board" },
    body: JSON.stringify(body),
  };
  const answer = await fetch(path, { cache: "no-store", ...given });
  const told = await answer.json().catch(() => ({}));
  if (answer.status === 401 && path !== "/login") location.assign("/login" + location.hash);
  if (!answer.ok) throw new Error(told.error ?? `the board answers ${answer.status}`);
  return told;
}
