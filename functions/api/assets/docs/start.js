// Swagger UI has a dark look of its own, by a class.
const dark = matchMedia("(prefers-color-scheme: dark)");
function paint() {
  const chosen = document.documentElement.dataset.theme;
  document.documentElement.classList.toggle("dark-mode", chosen ? chosen === "dark" : dark.matches);
}
dark.addEventListener("change", paint);
paint();

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#contract",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
});

// The conventions, problems among them, lie below the routes.
document.querySelector('[href="#conventions"]').addEventListener("click", (event) => {
  event.preventDefault();
  document.querySelector(".information-container")?.scrollIntoView();
});
