// Runs before the first paint, so that a visitor who chose light or dark never sees the other one.
// A classic script: modules run too late for that.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the system's choice holds.
}
