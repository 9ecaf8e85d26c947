// The editor of masks and captions. A mask is shown small and kept as strokes in the picture's own pixels, which the
// server draws at full size; so undo is leaving out the last of them.
(function () {
  var meta = function (name) { return document.querySelector('meta[name="fairhuman-' + name + '"]').content; };
  var get = function (id) { return document.getElementById(id); };
  var token = meta("token"), address = meta("address"), count = +meta("count");
  var dialog = get("editor"), holder = get("canvas"), picture = get("picture"), caption = get("caption");
  var shown = null, index = -1, active = 0, drawing = null, request = 0;

  function tell(words, kind) { get("told").textContent = words; get("told").className = kind || ""; }
  function tool() { return document.querySelector('input[name="tool"]:checked').value; }
  // The brush's radius in the picture's pixels: up to a fifth of the longer side.
  function radius() {
    var share = Math.pow(+get("size").value / 100, 2) / 5;
    return Math.max(0.5, share * Math.max(shown.width, shown.height));
  }
  function isChanged() {
    return shown !== null && (caption.value !== shown.caption || shown.masks.some(function (mask) { return mask.strokes.length; }));
  }
  function mayLeave() { return !isChanged() || confirm("Leave this picture without saving what you changed?"); }

  function refresh() {
    if (!shown) return;
    get("size-words").textContent = Math.round(2 * radius()) + " px";
    var mask = shown.masks[active], fixed = !mask || mask.fixed;
    get("undo").disabled = fixed || !mask.strokes.length;
    get("redo").disabled = fixed || !mask.undone.length;
    get("clear").disabled = !!fixed;
    get("save").disabled = !isChanged();
    get("before").disabled = index <= 0;
    get("after").disabled = index >= count - 1;
    var why = [];
    if (shown.fixed) why.push("Caption: " + shown.fixed + ".");
    if (mask && mask.fixed) why.push("Mask of " + mask.region + ": " + mask.fixed + ".");
    if (mask && mask.problem) why.push("Mask of " + mask.region + ": " + mask.problem + ". What you paint takes its place.");
    get("why").textContent = why.join(" ");
    shown.masks.forEach(function (mask, r) { mask.canvas.classList.toggle("active", r === active); });
  }

  function stroke(mask, stroke) {
    var paint = mask.canvas.getContext("2d"), scale = mask.canvas.width / shown.width;
    paint.globalCompositeOperation = stroke.paint ? "source-over" : "destination-out";
    paint.fillStyle = paint.strokeStyle = mask.colour;
    if (stroke.kind === "all") return paint.fillRect(0, 0, mask.canvas.width, mask.canvas.height);
    if (stroke.kind === "box") {
      var a = stroke.corners[0], b = stroke.corners[1];
      return paint.fillRect(Math.min(a[0], b[0]) * scale, Math.min(a[1], b[1]) * scale,
        Math.abs(a[0] - b[0]) * scale, Math.abs(a[1] - b[1]) * scale);
    }
    paint.lineWidth = 2 * stroke.radius * scale;
    paint.lineCap = paint.lineJoin = "round";
    paint.beginPath();
    stroke.points.forEach(function (point, i) { paint[i ? "lineTo" : "moveTo"](point[0] * scale, point[1] * scale); });
    if (stroke.points.length === 1) paint.lineTo(stroke.points[0][0] * scale + 0.01, stroke.points[0][1] * scale);
    paint.stroke();
  }
  function redraw(mask) {
    var paint = mask.canvas.getContext("2d");
    paint.globalCompositeOperation = "copy";
    if (mask.base) paint.drawImage(mask.base, 0, 0); else paint.clearRect(0, 0, mask.canvas.width, mask.canvas.height);
    mask.strokes.forEach(function (one) { stroke(mask, one); });
    if (drawing && shown.masks[active] === mask) stroke(mask, drawing);
    refresh();
  }
  function add(mask, one) { mask.strokes.push(one); mask.undone = []; redraw(mask); }
  function undo() {
    var mask = shown.masks[active];
    if (mask && mask.strokes.length) { mask.undone.push(mask.strokes.pop()); redraw(mask); }
  }
  function redo() {
    var mask = shown.masks[active];
    if (mask && mask.undone.length) { mask.strokes.push(mask.undone.pop()); redraw(mask); }
  }

  // A mask as a picture: its gray becomes how much of the region's colour there is.
  function colour(mask, loaded) {
    var canvas = mask.canvas, paint = canvas.getContext("2d");
    canvas.width = loaded.naturalWidth;
    canvas.height = loaded.naturalHeight;
    paint.drawImage(loaded, 0, 0);
    var pixels = paint.getImageData(0, 0, canvas.width, canvas.height), data = pixels.data;
    var rgb = [1, 3, 5].map(function (at) { return parseInt(mask.colour.slice(at, at + 2), 16); });
    for (var i = 0; i < data.length; i += 4) {
      data[i + 3] = data[i];
      data[i] = rgb[0]; data[i + 1] = rgb[1]; data[i + 2] = rgb[2];
    }
    mask.base = document.createElement("canvas");
    mask.base.width = canvas.width;
    mask.base.height = canvas.height;
    mask.base.getContext("2d").putImageData(pixels, 0, 0);
    redraw(mask);
  }

  // The largest place of the picture's shape in the stage.
  function fit() {
    if (!shown) return;
    var stage = holder.parentElement, scale = Math.min(stage.clientWidth / shown.width, stage.clientHeight / shown.height);
    holder.style.width = Math.max(1, shown.width * scale) + "px";
    holder.style.height = Math.max(1, shown.height * scale) + "px";
  }
  function choose(r) {
    if (!shown || r >= shown.masks.length) return;
    active = r;
    var input = document.querySelectorAll('input[name="region"]')[r];
    if (input) input.checked = true;
    refresh();
  }
  function show(entry) {
    shown = entry;
    holder.querySelectorAll("canvas").forEach(function (canvas) { canvas.remove(); });
    get("editor-name").textContent = entry.name;
    get("editor-size").textContent = entry.width + " x " + entry.height;
    caption.value = entry.caption;
    caption.readOnly = !!entry.fixed;
    picture.src = address + "/picture/" + index + "?" + entry.version;
    var list = get("regions");
    list.querySelectorAll("label").forEach(function (label) { label.remove(); });
    list.hidden = get("brushes").hidden = !entry.masks.length;
    entry.masks.forEach(function (mask, r) {
      mask.strokes = [];
      mask.undone = [];
      mask.canvas = document.createElement("canvas");
      mask.canvas.width = mask.canvas.height = 1;
      holder.appendChild(mask.canvas);
      var loaded = new Image();
      loaded.onload = function () { if (shown === entry) colour(mask, loaded); };
      loaded.src = address + "/mask/" + index + "/" + r + "?" + entry.version;
      var label = document.createElement("label"), input = document.createElement("input"), chip = document.createElement("i");
      input.type = "radio";
      input.name = "region";
      input.addEventListener("change", function () { choose(r); });
      chip.style.background = mask.colour;
      label.append(input, chip, mask.region + (mask.isThere ? "" : " (none)") + (mask.fixed ? " (only shown)" : ""));
      list.appendChild(label);
    });
    if (!dialog.open) dialog.showModal();
    fit();
    choose(Math.min(active, Math.max(0, entry.masks.length - 1)));
    refresh();
  }
  function load(next) {
    var mine = ++request;
    index = next;
    tell("loading");
    fetch(address + "/item/" + next, { cache: "no-store" }).then(function (answer) {
      return answer.ok ? answer.json() : answer.text().then(function (words) { throw new Error(words); });
    }).then(function (entry) { if (mine === request) { tell(""); show(entry); } }).catch(function (error) {
      if (mine !== request) return;
      shown = null;
      get("editor-name").textContent = "picture " + (next + 1);
      if (!dialog.open) dialog.showModal();
      tell(error.message, "bad");
      get("save").disabled = true;
    });
  }
  function move(by) {
    var next = index + by;
    if (next >= 0 && next < count && mayLeave()) load(next);
  }
  function close() { if (mayLeave()) { shown = null; request++; dialog.close(); } }

  function save(anyway) {
    if (!isChanged()) return;
    var entry = shown, change = { version: entry.version, strokes: {} };
    if (caption.value !== entry.caption) change.caption = caption.value;
    entry.masks.forEach(function (mask, r) { if (mask.strokes.length) change.strokes[r] = mask.strokes; });
    if (anyway) change.anyway = true;
    tell("saving");
    get("save").disabled = true;
    fetch(address + "/item/" + index, {
      method: "POST", headers: { "X-Fairhuman-Token": token, "Content-Type": "application/json" }, body: JSON.stringify(change)
    }).then(function (answer) {
      if (answer.ok) return answer.json().then(function (fresh) {
        var card = document.querySelector('.card[data-index="' + index + '"]');
        if (card) {
          card.querySelector("img").src = address + "/small/" + index + "?" + fresh.version;
          card.querySelector(".sub").textContent = fresh.caption || "no caption";
        }
        show(fresh);
        tell("saved", "good");
      });
      return answer.text().then(function (words) {
        if (answer.status === 428 && !anyway) {
          if (confirm(words + "\n\nSave all the same?")) return save(true);
          words = "not saved";
        }
        tell(words, "bad");
        refresh();
      });
    }).catch(function () { tell("no connection: nothing was saved", "bad"); refresh(); });
  }

  function place(event) {
    var box = holder.getBoundingClientRect();
    var round = function (value) { return Math.round(value * 10) / 10; };
    return [round((event.clientX - box.left) / box.width * shown.width), round((event.clientY - box.top) / box.height * shown.height)];
  }
  holder.addEventListener("pointerdown", function (event) {
    var mask = shown && shown.masks[active];
    if (!mask || mask.fixed || event.button > 0) return;
    event.preventDefault();
    holder.setPointerCapture(event.pointerId);
    var at = place(event), which = tool(), paint = which === "brush" || which === "box";
    drawing = which === "brush" || which === "erase"
      ? { kind: "brush", paint: paint, radius: Math.round(radius() * 10) / 10, points: [at] }
      : { kind: "box", paint: paint, corners: [at, at] };
    redraw(mask);
  });
  holder.addEventListener("pointermove", function (event) {
    if (!drawing || !shown) return;
    if (drawing.kind === "box") drawing.corners[1] = place(event);
    else (event.getCoalescedEvents ? event.getCoalescedEvents() : [event]).concat(event).forEach(function (one) {
      var at = place(one), last = drawing.points[drawing.points.length - 1];
      if (at[0] !== last[0] || at[1] !== last[1]) drawing.points.push(at);
    });
    redraw(shown.masks[active]);
  });
  function lift(event) {
    if (!drawing || !shown) return;
    var one = drawing, mask = shown.masks[active];
    drawing = null;
    if (event.type === "pointerup") add(mask, one); else redraw(mask);
  }
  holder.addEventListener("pointerup", lift);
  holder.addEventListener("pointercancel", lift);

  get("undo").addEventListener("click", undo);
  get("redo").addEventListener("click", redo);
  get("clear").addEventListener("click", function () { add(shown.masks[active], { kind: "all", paint: false }); });
  get("save").addEventListener("click", function () { save(false); });
  get("before").addEventListener("click", function () { move(-1); });
  get("after").addEventListener("click", function () { move(1); });
  get("close").addEventListener("click", close);
  get("size").addEventListener("input", refresh);
  caption.addEventListener("input", refresh);
  dialog.addEventListener("cancel", function (event) { event.preventDefault(); close(); });
  window.addEventListener("resize", fit);
  window.addEventListener("beforeunload", function (event) { if (dialog.open && isChanged()) event.preventDefault(); });
  document.addEventListener("click", function (event) {
    var card = event.target.closest(".card");
    if (card) load(+card.dataset.index);
  });
  document.addEventListener("keydown", function (event) {
    if (!dialog.open || !shown) return;
    var key = event.key.toLowerCase(), ctrl = event.ctrlKey || event.metaKey, typing = event.target === caption;
    var tools = { b: "brush", e: "erase", r: "box" };
    if (ctrl && key === "s") save(false);
    else if (key === "pageup") move(-1);
    else if (key === "pagedown") move(1);
    else if (typing) return;
    else if (ctrl && key === "z") event.shiftKey ? redo() : undo();
    else if (ctrl && key === "y") redo();
    else if (ctrl || event.altKey) return;
    else if (tools[key]) document.querySelector('input[value="' + tools[key] + '"]').checked = true;
    else if (key === "[" || key === "]") { get("size").value = +get("size").value + (key === "[" ? -4 : 4); refresh(); }
    else if (key >= "1" && key <= "9") choose(+key - 1);
    else return;
    event.preventDefault();
  });
})();
