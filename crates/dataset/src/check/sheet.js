const buttons = document.querySelectorAll(".filter button");
const cards = document.querySelectorAll("figure");
function show(which) {
  buttons.forEach((b) => b.classList.toggle("on", b.dataset.show === which));
  cards.forEach((c) => { c.hidden = which !== "all" && !c.classList.contains(which); });
}
buttons.forEach((b) => b.addEventListener("click", () => show(b.dataset.show)));
window.addEventListener("hashchange", () => {
  const card = document.querySelector(location.hash);
  if (card && card.hidden) { show("all"); card.scrollIntoView(); }
});
