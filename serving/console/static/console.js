// Only this: the number beside a slider follows it. Everything else is HTML, and works without.
document.addEventListener("input", (event) => {
  const slider = event.target;
  const output = slider.type === "range" && document.querySelector(`output[for="${slider.id}"]`);
  if (output) output.value = Number(slider.value).toLocaleString("en-US");
});
