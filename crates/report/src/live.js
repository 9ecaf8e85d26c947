// The live page: the server tells the versions of all parts when a run has gone on, and those that are new are asked
// for, one after the other.
(function () {
  var token = document.querySelector('meta[name="fairhuman-token"]').content;
  var connection = document.getElementById("connection"), wanted = {}, busy = false;
  function tell(state, words) { connection.className = state; connection.textContent = words; }
  function part(name) { return document.getElementById("part-" + name); }
  function next() {
    if (busy) return;
    var name = Object.keys(wanted).find(function (name) { return part(name) && part(name).dataset.version !== wanted[name]; });
    if (!name) return;
    busy = true;
    fetch("/part/" + name, { cache: "no-store" }).then(function (answer) {
      if (!answer.ok) throw new Error(answer.status);
      var version = answer.headers.get("X-Version");
      return answer.text().then(function (text) {
        part(name).innerHTML = text;
        part(name).dataset.version = version;
        if (wanted[name] !== version) delete wanted[name];
      });
    }).catch(function () { delete wanted[name]; }).then(function () { busy = false; next(); });
  }
  var source = new EventSource("/events");
  source.onopen = function () { tell("live", "live"); };
  source.onerror = function () {
    tell("lost", source.readyState === 2 ? "refused: open the address that fairhuman watch prints" : "no connection, trying again");
  };
  source.addEventListener("change", function (event) { Object.assign(wanted, JSON.parse(event.data)); next(); });
  document.addEventListener("click", function (event) {
    var button = event.target.closest("button[data-action]");
    if (!button) return;
    var run = button.dataset.run, action = button.dataset.action;
    function say(words) {
      document.querySelectorAll('output[data-run="' + run + '"]').forEach(function (output) { output.textContent = words; });
    }
    if (action === "stop" && !confirm("Stop this run? What was learnt is saved, and the same command goes on.")) return;
    say("asked");
    fetch("/run/" + run + "/" + action, { method: "POST", headers: { "X-Fairhuman-Token": token } })
      .then(function (answer) { return answer.text(); }).then(say, function () { say("no connection"); });
  });
})();
