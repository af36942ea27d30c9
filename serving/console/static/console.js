// Only this: the number beside a slider follows it. Everything else is HTML, and works without.
document.addEventListener("input", (event) => {
  const output = event.target.closest("label")?.querySelector("output");
  if (output && event.target.type === "range") output.value = Number(event.target.value).toLocaleString("en-US");
});
