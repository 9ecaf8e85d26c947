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
  document.querySelectorAll(".reading").forEach(function (reading) {
    var title = reading.querySelector("title"), text = title.textContent;
    title.remove();
    function show(event) {
      tip.textContent = text;
      tip.hidden = false;
      var box = tip.getBoundingClientRect(), x = event.clientX + 14, y = event.clientY - box.height - 10;
      if (x + box.width > innerWidth - 8) x = event.clientX - box.width - 14;
      tip.style.left = Math.max(8, x) + "px";
      tip.style.top = Math.max(8, y) + "px";
    }
    reading.addEventListener("pointermove", show);
    reading.addEventListener("pointerdown", show);
    reading.addEventListener("pointerleave", function () { tip.hidden = true; });
  });
})();
