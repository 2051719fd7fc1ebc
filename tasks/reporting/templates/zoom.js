// Zoom and pan of the large pictures, all panes together: one place of the part in each of them.
const zoom = (() => {
  const [MOST, STEP, SHIFT] = [16, 1.4, 0.15]; // times, times a step, share of a pane a key moves
  const large = viewer.querySelector(".large");
  let [scale, x, y] = [1, 0, 0]; // x, y: of the upper left corner, in sides of a pane
  const held = new Map(); // pointers that are down, by their id
  let spread = 0; // pixels between two of them

  function show() {
    scale = Math.min(MOST, Math.max(1, scale));
    [x, y] = [x, y].map((at) => Math.min(0, Math.max(1 - scale, at)));
    large.style.setProperty("--zoom", scale);
    large.style.setProperty("--x", `${100 * x}%`);
    large.style.setProperty("--y", `${100 * y}%`);
    large.classList.toggle("zoomed", scale > 1);
    viewer.querySelector("[name=zoom]").value = `${scale.toPrecision(2)}×`;
  }
  // Enlarge `times`; the point (u, v) of a pane, in its sides, stays where it is.
  function by(times, u = 0.5, v = 0.5) {
    const before = scale;
    scale = Math.min(MOST, Math.max(1, scale * times));
    [x, y] = [u - ((u - x) * scale) / before, v - ((v - y) * scale) / before];
    show();
  }
  function move(dx, dy) {
    [x, y] = [x + dx, y + dy];
    show();
  }
  function reset() {
    [scale, x, y] = [1, 0, 0];
    show();
  }
  const within = (pane, { clientX, clientY }) => {
    const { left, top, width, height } = pane.getBoundingClientRect();
    return [(clientX - left) / width, (clientY - top) / height];
  };
  const paneOf = (event) => event.target.closest?.(".pane");

  large.addEventListener("wheel", (event) => {
    const pane = paneOf(event);
    if (!pane) return;
    event.preventDefault();
    by(STEP ** (-event.deltaY / 100), ...within(pane, event));
  }, { passive: false });
  large.addEventListener("dblclick", (event) => {
    const pane = paneOf(event);
    if (pane) scale > 1 ? reset() : by(3, ...within(pane, event));
  });
  large.addEventListener("pointerdown", (event) => {
    if (!paneOf(event)) return;
    held.set(event.pointerId, event);
    spread = 0;
    if (scale > 1) paneOf(event).setPointerCapture(event.pointerId);
  });
  large.addEventListener("pointermove", (event) => {
    const [before, pane] = [held.get(event.pointerId), paneOf(event)];
    if (!before || !pane) return;
    held.set(event.pointerId, event);
    const { width, height } = pane.getBoundingClientRect();
    if (held.size === 1) return move((event.clientX - before.clientX) / width, (event.clientY - before.clientY) / height);
    const [one, other] = [...held.values()];
    const apart = Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    const middle = { clientX: (one.clientX + other.clientX) / 2, clientY: (one.clientY + other.clientY) / 2 };
    if (spread) by(apart / spread, ...within(pane, middle));
    spread = apart;
  });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, (event) => ((spread = 0), held.delete(event.pointerId)));
  large.addEventListener("dragstart", (event) => event.preventDefault());

  const keys = { "+": () => by(STEP), "=": () => by(STEP), "-": () => by(1 / STEP), 0: reset };
  const arrows = { ArrowLeft: [SHIFT, 0], ArrowRight: [-SHIFT, 0], ArrowUp: [0, SHIFT], ArrowDown: [0, -SHIFT] };
  viewer.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey) return;
    const act = event.shiftKey && arrows[event.key] ? () => move(...arrows[event.key]) : keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  viewer.querySelector("[name=nearer]").addEventListener("click", () => by(STEP));
  viewer.querySelector("[name=farther]").addEventListener("click", () => by(1 / STEP));
  return { reset, by, move };
})();
