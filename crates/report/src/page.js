// The theme's button, and values below the pointer at once instead of after the browser's pause. Without this the
// page shows the same.
(function () {
  var root = document.documentElement, button = document.querySelector(".theme");
  button.hidden = false;
  button.addEventListener("click", function () {
    var set = root.dataset.theme;
    var dark = set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  var tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.appendChild(tip);
  // Its text is taken out of the browser's reach when the pointer first comes, since parts of a page may be drawn again.
  function words(reading) {
    var title = reading.querySelector("title");
    if (title) { reading.dataset.words = title.textContent; title.remove(); }
    return reading.dataset.words || "";
  }
  function show(event) {
    var reading = event.target.closest && event.target.closest(".reading");
    tip.hidden = !reading;
    if (!reading) return;
    tip.textContent = words(reading);
    var box = tip.getBoundingClientRect(), x = event.clientX + 14, y = event.clientY - box.height - 10;
    if (x + box.width > innerWidth - 8) x = event.clientX - box.width - 14;
    tip.style.left = Math.max(8, x) + "px";
    tip.style.top = Math.max(8, y) + "px";
  }
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.documentElement.addEventListener("pointerleave", function () { tip.hidden = true; });
})();
