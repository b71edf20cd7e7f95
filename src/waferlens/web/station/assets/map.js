// The points of a wafer map with the arrow keys: one Tab leads to the map, arrows to the nearest point that way.

for (const map of document.querySelectorAll("[data-map]")) {
  const marks = [...map.querySelectorAll("a[data-x]")].map((link) => ({
    link, x: Number(link.dataset.x), y: Number(link.dataset.y),
  }));
  if (marks.length === 0) continue;
  map.setAttribute("data-own-keys", "");
  const first = marks.find(({ link }) => link.classList.contains("here")) ?? marks[0];
  marks.forEach(({ link }) => link.setAttribute("tabindex", link === first.link ? "0" : "-1"));

  map.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const here = marks.find(({ link }) => link === document.activeElement);
    if (!way || !here) return;
    event.preventDefault();
    let best = null;
    for (const mark of marks) {
      const [dx, dy] = [mark.x - here.x, mark.y - here.y];
      const along = dx * way[0] + dy * way[1];
      const across = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
      if (along > 0.5 && (best === null || along + 2 * across < best.cost)) best = { mark, cost: along + 2 * across };
    }
    if (best === null) return;
    here.link.setAttribute("tabindex", "-1");
    best.mark.link.setAttribute("tabindex", "0");
    best.mark.link.focus();
  });
}
